
модель 模型
tokens
targets
🦊{�G�z�? " 
embed	embedding"tokens*🦊"
headlinear"embed*🦊"$
losscross_entropy"head"targets*loss2head