
tiny
tokens
targets$
weightÿÿÿÿÿÿÿÿÿ{®Gáz”? ""
embed	embedding"tokens*weight"
headlinear"embed*weight"$
losscross_entropy"head"targets*loss2head