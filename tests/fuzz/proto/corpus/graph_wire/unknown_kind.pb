
block
tokens
targets	
wte	
wpe
g
b
qkv.w

qkv.b	
o.w
k"
wte	embedding"tokens*wte"
wpeadd_position"wte*wpe"1
ln
layer_norm
epsilon	ñhãˆµøä>"wpe*g*b"3
qkvlinear
layoutin_out"ln*qkv.w*qkv.b"5
att	attention
heads
rate	š™™™™™¹?"qkv"
olinear"att*o.w"%
dropdropout
rate	š™™™™™¹?"o"
addadd"wpe"drop"
convcausal_conv1d"add*k")
gelugelu
approximatenone"conv"
sigsigmoid"gelu"
mulmultiply"gelu"sig"
silusilu"mul"
tanhtanh"silu"
relurelu"tanh"
headlinear"relu*wte"$
losscross_entropy"head"targets*loss2head
morec