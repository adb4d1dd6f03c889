// Writes texts with the ids that gpt-tokenizer gives them: real text, awkward Unicode, random mixes.
// usage: node reference_ids.cjs INPUTS OUT
// OUT: per text, little-endian: u32 bytes, u32 ids, the UTF-8 bytes, each id as u32.
'use strict';
const fs = require('fs');
const path = require('path');

const [inputs, out] = process.argv.slice(2).map((name) => path.resolve(name));
const {encode} = require(path.join(inputs, 'gpt-tokenizer/cjs/encoding/r50k_base.js'));

const texts = [fs.readFileSync(path.join(inputs, 'text/moby-dick.txt'), 'utf8')];
const addresses = path.join(inputs, 'text/sotu');
for (const name of fs.readdirSync(addresses).filter((name) => name.endsWith('.txt')).sort().slice(-40)) {
  texts.push(fs.readFileSync(path.join(addresses, name), 'utf8'));
}

// Not here: U+0085 and U+FEFF. JavaScript's \s has the second and not the first; Unicode's
// White_Space, which GPT-2's own tokeniser uses, is the other way round.
texts.push(
  '', ' ', '  ', '\n', 'a', '\0', '\0\0 \0a', 'a\0b', '\r\n\r\n x', 'a  b   c    d', ' \t\n\v\f\r ',
  "I'm you're he'd we've it's they'll don't", "I'M YOU'RE HE'D", "''''s 's 't'd'll'ves", "x' s ' 't",
  '\u00a0', 'a\u00a0b \u00a0 c', '\u1680\u2000\u2001\u200a\u2028\u2029\u202f\u205f\u3000 x \u3000',
  '\u180e\u200b\u200c\u200d\u2060 a\u180eb', 'e\u0301a\u0308\u0323 \u0301 o\u0302\u0303', '\u0301start',
  'Zalgo: H\u0310\u0321e\u0334\u0322l\u0335l\u0336o', '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466}',
  '\u{1f3f3}\ufe0f\u200d\u{1f308} flags \u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7}', '\u{1f44d}\u{1f3fd}ok\u{1f44d}',
  '\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u3053\u3093\u306b\u3061\u306f \uc548\ub155\ud558\uc138\uc694',
  '\u{20000}\u{2a6d6} \ufa0e', '\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645',
  '\u202e\u05e9\u05dc\u05d5\u05dd\u202c \u05e2\u05d5\u05dc\u05dd', '\u0928\u092e\u0938\u094d\u0924\u0947',
  '\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35', '\u0660\u0661\u0662 \u0967\u0968\u0969 \uff11\uff12 \u2460\u00bd\u216b\u3007\u5341',
  '\u00b2\u00b3\u00b9 x\u00b2', '\u{1d7ce}\u{1d7cf}\u{1d49c}\u{1d504}', '\ufffd\ufffe\uffff\u{10ffff}\u{e0001}\ue000',
  '<|endoftext|>', 'a<|endoftext|>b', '\u01c5\u01c8\u02b0\u02ff', '\u00df\u1e9e\u0130\u0131\ufb01', '\u2019s it\u2019s',
  'https://example.org/a_b?c=d&e=%20#f', '{"a": [1, 2.5e-3, null]}\n\n\tif (x) {\n\t\treturn;\n\t}\n', '-----====_____*****',
  '\ud800', 'a\udc00b', '\udc00\ud800');

// Very long runs: one word each, and words that nearly fit together.
for (const unit of ['a', ' ', '\n', '0', '-', 'ab', 'aaaab', 'the', '\u4e00', '\u{1f600}', '\u0301', ' \n', '\u00a0', 'AZaz']) {
  texts.push(unit.repeat(3000), ' ' + unit.repeat(2999) + 'x', 'x' + unit.repeat(511) + ' y');
}

// Random mixes of characters of every kind that the expression tells apart. A fixed seed: the cases
// are the same on every machine.
let state = 12345;
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return Math.floor(state / 65536) % below;
};
const ranges = [[0x20, 0x20], [0x20, 0x20], [0x61, 0x7a], [0x61, 0x7a], [0x41, 0x5a], [0x30, 0x39], [0x21, 0x2f], [0x27, 0x27],
  [0x09, 0x0d], [0x00, 0x1f], [0xa0, 0xff], [0x100, 0x17f], [0x300, 0x36f], [0x390, 0x3c9], [0x410, 0x44f], [0x5d0, 0x5ea],
  [0x620, 0x64a], [0x660, 0x669], [0x904, 0x939], [0xe01, 0xe3a], [0x1680, 0x1680], [0x1f00, 0x1f15], [0x2000, 0x206f],
  [0x2070, 0x2071], [0x2150, 0x2189], [0x2200, 0x22ff], [0x3000, 0x303f], [0x3041, 0x3096], [0x4e00, 0x9fa5], [0xac00, 0xd7a3],
  [0xf900, 0xfa6d], [0xfe00, 0xfe0f], [0xff10, 0xff5a], [0x10300, 0x1031f], [0x1d400, 0x1d454], [0x1f300, 0x1f64f], [0x20000, 0x2a6d6]];
for (let i = 0; i < 20000; ++i) {
  let text = '';
  const characters = 1 + random(40);
  const kinds = 1 + random(ranges.length);
  for (let j = 0; j < characters; ++j) {
    const [first, last] = ranges[random(kinds) === 0 ? random(ranges.length) : random(12)];
    text += String.fromCodePoint(first + random(last - first + 1));
  }
  texts.push(text.replaceAll('\u0085', ' '));
}

// A lone surrogate has no UTF-8; both sides see the replacement character.
const file = fs.openSync(out, 'w');
let total = 0;
for (const text of texts) {
  const bytes = Buffer.from(text, 'utf8');
  const ids = encode(bytes.toString('utf8'), {disallowedSpecial: new Set()});
  const header = Buffer.alloc(8);
  header.writeUInt32LE(bytes.length, 0);
  header.writeUInt32LE(ids.length, 4);
  fs.writeSync(file, header);
  fs.writeSync(file, bytes);
  fs.writeSync(file, Buffer.from(Uint32Array.from(ids).buffer));
  total += bytes.length;
}
fs.closeSync(file);
console.log(`${texts.length} texts, ${total} bytes`);
