
tiny
tokens
targets
weight{®Gáz”? ""
embed	embedding"tokens*weight"
headlinear"embed*weight"$
losscross_entropy"head"targets"
aadd"embed"c"
bgelu"a"
cgelu"b*loss2head