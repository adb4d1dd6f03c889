
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
k"$
losscross_entropy"head"targets"
headlinear"relu*wte"
relurelu"tanh"
tanhtanh"silu"
silusilu"mul"
mulmultiply"gelu"sig"
sigsigmoid"gelu")
gelugelu
approximatenone"conv"
convcausal_conv1d"add*k"
addadd"wpe"drop"%
dropdropout
rate	š™™™™™¹?"o"
olinear"att*o.w"5
att	attention
heads
rate	š™™™™™¹?"qkv"3
qkvlinear
layoutin_out"ln*qkv.w*qkv.b"1
ln
layer_norm
epsilon	ñhãˆµøä>"wpe*g*b"
wpeadd_position"wte*wpe"
wte	embedding"tokens*wte*loss2head