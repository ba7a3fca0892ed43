// Byte-level byte-pair encoding, as GPT-2 has it: text becomes bytes, bytes become tokens by learned merges.

/** GPT-2 cuts text before it merges: contractions, words, numbers and marks, each with the space before it. Unicode's
    own idea of white space, which the tokenizers library follows, is not quite that of \s. */
const PIECES = RegExp(
  [
    "'s|'t|'re|'ve|'m|'ll|'d",
    " ?\\p{L}+",
    " ?\\p{N}+",
    " ?[^\\p{White_Space}\\p{L}\\p{N}]+",
    "\\p{White_Space}+(?!\\P{White_Space})",
    "\\p{White_Space}+",
  ].join("|"),
  "gu",
);

export class Tokenizer {
  /** `file`: what tokenizer.json holds. */
  constructor(file) {
    this.vocab = new Map(Object.entries(file.model.vocab));
    this.ranks = new Map(file.model.merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
    this.special = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
    this.known = new Map();

    // Each byte is written as one visible character: itself where it has one, one from 256 on where it has none.
    this.characters = [];
    let unseen = 256;
    for (let byte = 0; byte < 256; byte++) {
      const visible = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
      this.characters.push(String.fromCharCode(visible ? byte : unseen++));
    }
    this.bytes = new Map(this.characters.map((character, byte) => [character, byte]));
    this.written = new Map([...this.vocab].map(([token, id]) => [id, token]));
  }

  /** The tokens of a text. */
  encode(text) {
    const ids = [];
    let rest = text;
    while (rest) {
      const [at, special] = this.nextSpecial(rest);
      for (const [piece] of rest.slice(0, at).matchAll(PIECES)) ids.push(...this.merge(piece));
      if (special) ids.push(this.special.get(special));
      rest = rest.slice(at + special.length);
    }
    return ids;
  }

  /** Where the next special token stands, and which it is; the text's end and "" where there is none. */
  nextSpecial(text) {
    const found = [...this.special.keys()].map((token) => [text.indexOf(token), token]).filter(([at]) => at >= 0);
    return found.reduce((first, other) => (other[0] < first[0] ? other : first), [text.length, ""]);
  }

  /** One piece's tokens: begin with its bytes and join, again and again, the pair that was learned first. */
  merge(piece) {
    if (this.known.has(piece)) return this.known.get(piece);
    const parts = Array.from(new TextEncoder().encode(piece), (byte) => this.characters[byte]);
    for (;;) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`);
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) break;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
    const ids = parts.map((part) => this.vocab.get(part));
    this.known.set(piece, ids);
    return ids;
  }

  /** The text that one token stands for; a part of a character shows as the replacement character. */
  decode(id) {
    const token = this.written.get(id);
    if (this.special.has(token)) return token;
    return new TextDecoder().decode(Uint8Array.from(token, (character) => this.bytes.get(character)));
  }
}
