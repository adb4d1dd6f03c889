
tiny
tokens
targets
weight{®Gáz”? ""
embed	embedding"tokens*weight"
headlinear"embed*weight"$
losscross_entropy"head"targets"
embedgelu"head*loss2head