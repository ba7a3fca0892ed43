// A decoder of GPT-2's architecture, in the formulas of the course. Vectors are rows and multiply from the left:
// x @ W. A matrix is one Float64Array, row after row; names are TransformerLens's.

/** The tensors of a safetensors file in half precision, by name: {shape, data}. */
export function readSafetensors(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (dtype !== "F16") throw new Error(`expected weights of type F16, got ${dtype} for ${name}`);
    const [start, end] = data_offsets;
    const halves = new Uint16Array(buffer, 8 + size + start, (end - start) / 2);
    tensors[name.replace(/^transformer\./, "")] = { shape, data: Float64Array.from(halves, fromHalf) };
  }
  return tensors;
}

/** The number that 16 bits stand for: a sign, five bits of exponent, ten of fraction. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/** The model, its weights processed as everywhere in the course: norms folded into readers, writers centred. */
export class Transformer {
  constructor(config, tensors) {
    this.n_layers = config.n_layer;
    this.n_heads = config.n_head;
    this.d_model = config.n_embd;
    this.d_head = config.n_embd / config.n_head;
    this.n_ctx = config.n_positions;
    this.eps = config.layer_norm_epsilon;

    const of = (name) => tensors[name].data;
    const both = (name) => [of(`${name}.weight`), of(`${name}.bias`)];
    const reader = (name, norm) => fold(linearOf(...both(name)), ...both(norm));
    const writer = (name) => linearOf(...both(name).map((rows) => centre(rows, this.d_model)));
    const W_E = of("wte.weight");
    this.unembed = fold({ columns: W_E, b: new Float64Array(config.vocab_size) }, ...both("ln_f"));
    this.mean_unembed = meanColumn(this.unembed, this.d_model);
    this.W_E = centre(W_E, this.d_model);
    this.W_pos = centre(of("wpe.weight"), this.d_model);
    this.blocks = Array.from({ length: this.n_layers }, (_, layer) => ({
      QKV: reader(`h.${layer}.attn.c_attn`, `h.${layer}.ln_1`),
      O: writer(`h.${layer}.attn.c_proj`),
      in: reader(`h.${layer}.mlp.c_fc`, `h.${layer}.ln_2`),
      out: writer(`h.${layer}.mlp.c_proj`),
    }));

    for (const { QKV, O } of this.blocks) foldValueBias(QKV, O);

    // What a run leaves behind, a row for each position.
    const rows = (width) => new Float64Array(this.n_ctx * width);
    this.tokens = [];
    this.writes = { embed: rows(this.d_model), pos_embed: rows(this.d_model) };
    for (let layer = 0; layer < this.n_layers; layer++) {
      this.writes[`${layer}_attn_out`] = rows(this.d_model);
      this.writes[`${layer}_mlp_out`] = rows(this.d_model);
    }
    this.qkv = this.blocks.map(() => rows(3 * this.d_model));
    this.z = this.blocks.map(() => rows(this.d_model));
    this.patterns = this.blocks.map(() => Array.from({ length: this.n_heads }, () => rows(this.n_ctx)));
  }

  /** Run the tokens and keep every write and pattern. A token never sees later ones, so the rows of a beginning
      that the last run had too are still right: only what comes after it is computed. */
  run(tokens) {
    let start = 0;
    while (start < tokens.length && tokens[start] === this.tokens[start]) start++;
    this.tokens = tokens;
    const news = tokens.slice(start), d = this.d_model;
    const write = (name, values) => (this.writes[name].set(values, start * d), values);

    const embed = write("embed", rowsOf(this.W_E, news, d));
    const pos_embed = write("pos_embed", rowsOf(this.W_pos, news.map((_, i) => start + i), d));
    let x = add(embed, pos_embed);
    this.blocks.forEach((block, layer) => {
      this.qkv[layer].set(linear(this.normalise(x), block.QKV), start * 3 * d);
      const attn_out = write(`${layer}_attn_out`, linear(this.attend(layer, start), block.O));
      x = add(x, attn_out);
      const mlp_out = write(`${layer}_mlp_out`, linear(linear(this.normalise(x), block.in).map(gelu), block.out));
      x = add(x, mlp_out);
    });
  }

  /** LayerNorm of rows whose mean is zero, as centred writers leave it: x / sqrt(mean(x²) + eps). */
  normalise(x) {
    const d = this.d_model, out = new Float64Array(x.length);
    for (let row = 0; row < x.length; row += d) {
      const scale = Math.sqrt(squared(x.subarray(row, row + d)) / d + this.eps);
      for (let i = row; i < row + d; i++) out[i] = x[i] / scale;
    }
    return out;
  }

  /** Every head's z for the positions from `start` on: softmax(q @ k.T / sqrt(d_head)) @ v, side by side. */
  attend(layer, start) {
    const { d_model: d, d_head } = this, qkv = this.qkv[layer], z = this.z[layer];
    for (let head = 0; head < this.n_heads; head++) {
      const Q = head * d_head, K = d + Q, V = 2 * d + Q;
      for (let query = start; query < this.tokens.length; query++) {
        const row = this.patternRow(layer, head, query);
        for (let key = 0; key <= query; key++) {
          let score = 0;
          for (let i = 0; i < d_head; i++) score += qkv[query * 3 * d + Q + i] * qkv[key * 3 * d + K + i];
          row[key] = score / Math.sqrt(d_head);
        }
        softmax(row);
        const out = z.subarray(query * d + Q, query * d + Q + d_head).fill(0);
        for (let key = 0; key <= query; key++)
          for (let i = 0; i < d_head; i++) out[i] += row[key] * qkv[key * 3 * d + V + i];
      }
    }
    return z.subarray(start * d, this.tokens.length * d);
  }

  /** How much a head looks from one position at each up to it. */
  patternRow(layer, head, query) {
    return this.patterns[layer][head].subarray(query * this.n_ctx, query * this.n_ctx + query + 1);
  }

  /** What each component wrote at one position, by name. */
  writesAt(position) {
    const d = this.d_model, at = (rows) => rows.subarray(position * d, (position + 1) * d);
    return Object.fromEntries(Object.entries(this.writes).map(([name, rows]) => [name, at(rows)]));
  }

  /** One head's part of its layer's write at one position: z @ W_O[head]. */
  headWrite(layer, head, position) {
    const d = this.d_model, z = new Float64Array(d), { columns } = this.blocks[layer].O, at = head * this.d_head;
    z.set(this.z[layer].subarray(position * d + at, position * d + at + this.d_head), at);
    return linear(z, { columns, b: new Float64Array(d) });
  }

  /** The stream at one position: the sum of every write. */
  stream(position) {
    return Object.values(this.writesAt(position)).reduce(add);
  }

  /** The logits at one position: normalise(stream) @ W_U + b_U. */
  logits(position) {
    return linear(this.normalise(this.stream(position)), this.unembed);
  }

  /** What a vector in the stream adds to a token's logit over the average token's: x / scale @ (W_U[:, token] - mean).
      Exact, given the scale that the whole stream sets; with `bias` the contributions sum to logit - mean(logits). */
  attribute(x, position, token) {
    const d = this.d_model, { columns } = this.unembed, { column } = this.mean_unembed;
    const scale = Math.sqrt(squared(this.stream(position)) / d + this.eps);
    return x.reduce((sum, value, i) => sum + (value / scale) * (columns[token * d + i] - column[i]), 0);
  }

  /** The part of a token's logit over the average token's that no component wrote: b_U[token] - mean(b_U). */
  bias(token) {
    return this.unembed.b[token] - this.mean_unembed.b;
  }
}

// ---- The mathematics underneath ----

/** x + y. */
export const add = (x, y) => x.map((value, i) => value + y[i]);

/** x @ x. */
export const squared = (x) => x.reduce((sum, value) => sum + value * value, 0);

/** GPT-2's approximation of GELU, x/2 * (1 + tanh(u)) with u = sqrt(2/pi) * (x + 0.044715 x³), by way of
    (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), which is faster. */
const gelu = (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

/** Turn scores into shares that sum to one, in place; subtracting the largest changes nothing but keeps exp finite. */
export function softmax(scores) {
  let top = -Infinity, sum = 0;
  for (const score of scores) top = Math.max(top, score);
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - top);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

/** x @ W + b for each row of x. `columns` holds W column by column, so that both factors are read in order; eight
    sums at once (two rows, four columns) stay in registers. At an edge a sum is computed twice, not left out. */
function linear(x, { columns, b }) {
  const n_out = b.length, n_in = columns.length / n_out, rows = x.length / n_in, y = new Float64Array(rows * n_out);
  for (let row = 0; row < rows; row += 2) {
    const next = Math.min(row + 1, rows - 1), x0 = row * n_in, x1 = next * n_in;
    for (let j = 0; j < n_out; j += 4) {
      const j1 = Math.min(j + 1, n_out - 1), j2 = Math.min(j + 2, n_out - 1), j3 = Math.min(j + 3, n_out - 1);
      const w0 = j * n_in, w1 = j1 * n_in, w2 = j2 * n_in, w3 = j3 * n_in;
      let a0 = b[j], a1 = b[j1], a2 = b[j2], a3 = b[j3], c0 = a0, c1 = a1, c2 = a2, c3 = a3;
      for (let i = 0; i < n_in; i++) {
        const p = x[x0 + i], q = x[x1 + i];
        const v0 = columns[w0 + i], v1 = columns[w1 + i], v2 = columns[w2 + i], v3 = columns[w3 + i];
        a0 += p * v0; a1 += p * v1; a2 += p * v2; a3 += p * v3;
        c0 += q * v0; c1 += q * v1; c2 += q * v2; c3 += q * v3;
      }
      const y0 = row * n_out, y1 = next * n_out;
      y[y0 + j] = a0; y[y0 + j1] = a1; y[y0 + j2] = a2; y[y0 + j3] = a3;
      y[y1 + j] = c0; y[y1 + j1] = c1; y[y1 + j2] = c2; y[y1 + j3] = c3;
    }
  }
  return y;
}

/** The rows of a table that the numbers name. */
function rowsOf(table, numbers, width) {
  const out = new Float64Array(numbers.length * width);
  numbers.forEach((number, i) => out.set(table.subarray(number * width, (number + 1) * width), i * width));
  return out;
}

/** W, stored row by row, with its bias, as `linear` takes them. */
function linearOf(W, b) {
  const n_out = b.length, n_in = W.length / n_out;
  return { columns: W.map((_, at) => W[(at % n_in) * n_out + Math.floor(at / n_in)]), b };
}

/** A norm's gain and bias folded into what reads it: (g * x + c) @ W + b = x @ (g * W) + (c @ W + b). */
function fold({ columns, b }, gain, bias) {
  const n_in = gain.length;
  return {
    columns: columns.map((value, at) => gain[at % n_in] * value),
    b: b.map((value, j) => bias.reduce((sum, c, i) => sum + c * columns[j * n_in + i], value)),
  };
}

/** The bias of the values moved behind the heads, in place: a pattern's shares sum to one, so it arrives as it is. */
function foldValueBias(QKV, O) {
  const d = O.b.length, b_V = QKV.b.subarray(2 * d);
  O.b.set(linear(b_V, O));
  b_V.fill(0);
}

/** Rows with their mean taken off: what a norm would take off anyway. */
function centre(rows, width) {
  const means = Float64Array.from({ length: rows.length / width }, (_, row) =>
    rows.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value, 0) / width);
  return rows.map((value, at) => value - means[Math.floor(at / width)]);
}

/** The mean over the vocabulary of the unembedding's columns, and of its biases. */
function meanColumn({ columns, b }, d_model) {
  const column = new Float64Array(d_model);
  columns.forEach((value, at) => (column[at % d_model] += value / b.length));
  return { column, b: b.reduce((sum, value) => sum + value, 0) / b.length };
}
