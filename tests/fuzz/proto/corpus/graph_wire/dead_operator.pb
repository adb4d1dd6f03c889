
tiny
tokens
targets
weight{®Gáz”? ""
embed	embedding"tokens*weight"
headlinear"embed*weight"$
losscross_entropy"head"targets"
deadgelu"embed*loss2head