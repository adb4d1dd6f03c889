
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
o