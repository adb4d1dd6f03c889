# hivemind's compressors on one thread, one measurement a line: "load FILE COLUMNS", "codec NAME".
import json
import sys
import time

import torch
from hivemind.compression import (CompressionInfo, Float16Compression, Quantile8BitQuantization,
                                  ScaledFloat16Compression, Uniform8BitQuantization)

CODECS = {"FLOAT16": Float16Compression, "MEANSTD_16BIT": ScaledFloat16Compression,
          "UNIFORM_8BIT": Uniform8BitQuantization, "QUANTILE_8BIT": Quantile8BitQuantization}


def main():
    torch.set_num_threads(1)
    values, info, warm = None, None, set()
    for line in sys.stdin:
        word, argument, *_ = line.split()
        if word == "load":
            values = torch.frombuffer(bytearray(open(argument, "rb").read()), dtype=torch.float32)
            info = CompressionInfo.from_tensor(values)
            answer = {"values": values.numel()}
        else:
            codec = CODECS[argument]()
            if argument not in warm:
                codec.extract(codec.compress(values, info))
                warm.add(argument)
            begin = time.perf_counter()
            packed = codec.compress(values, info)
            middle = time.perf_counter()
            back = codec.extract(packed)
            end = time.perf_counter()
            answer = {"encode_s": middle - begin, "decode_s": end - middle, "bytes": len(packed.buffer),
                      "squared_error": float((back.double() - values.double()).square().sum())}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
