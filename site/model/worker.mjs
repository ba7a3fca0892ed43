// The model, off the page's own thread: it is handed the files once, then answers what is asked of one text.
import { Transformer, add, readSafetensors, softmax, squared } from "./transformer.mjs";
import { Tokenizer } from "./tokenizer.mjs";

let transformer, tokenizer, bos;

self.onmessage = ({ data }) => {
  if (data.weights) load(data);
  self.postMessage(data.weights ? { ready: shape() } : look(data));
};

/** `weights`: the safetensors file in base64, which a page opened from a disk can carry. */
function load({ config, vocabulary, weights }) {
  const bytes = Uint8Array.from(atob(weights), (character) => character.charCodeAt(0));
  transformer = new Transformer(config, readSafetensors(bytes.buffer));
  tokenizer = new Tokenizer(vocabulary);
  bos = config.bos_token_id;
}

const shape = () => ({ n_layers: transformer.n_layers, n_heads: transformer.n_heads });

/** The tokens of a text, begun as the model was trained: with the token that stands between texts. */
const encode = (text) => [bos, ...tokenizer.encode(text)];

/** Everything the page shows of a text, at one position (null: the last), and of one head ("2.1"; "": the one that
    adds most to the likeliest token). */
function look({ text, position, head }) {
  const all = encode(text), tokens = all.slice(0, transformer.n_ctx);
  transformer.run(tokens);
  const at = position ?? tokens.length - 1;
  const logits = transformer.logits(at), probabilities = softmax(logits.slice());
  const next = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 8)
    .map((id) => ({ id, probability: probabilities[id], word: tokenizer.decode(id) }));
  const best = next[0].id, final = transformer.stream(at);
  const length = (x) => Math.sqrt(squared(x));

  let stream = new Float64Array(transformer.d_model);
  const components = Object.entries(transformer.writesAt(at)).map(([name, write]) => {
    stream = add(stream, write);
    const share = write.reduce((sum, value, i) => sum + value * final[i], 0) / squared(final);
    return { name, norm: length(write), share, stream: length(stream), adds: transformer.attribute(write, at, best) };
  });
  const heads = transformer.blocks.map((_, layer) => Array.from({ length: transformer.n_heads }, (_, index) =>
    transformer.attribute(transformer.headWrite(layer, index, at), at, best)));
  const most = heads.flat().indexOf(Math.max(...heads.flat()));
  const strongest = [Math.floor(most / transformer.n_heads), most % transformer.n_heads];
  const [layer, index] = head ? head.split(".").map(Number) : strongest;
  return {
    words: tokens.map((id) => tokenizer.decode(id)),
    dropped: all.length - tokens.length,
    position: at,
    next,
    components,
    bias: transformer.bias(best),
    over: logits[best] - logits.reduce((sum, logit) => sum + logit, 0) / logits.length,
    pattern: tokens.map((_, query) => transformer.patternRow(layer, index, query).slice()),
    layer,
    index,
    heads,
    headNorm: length(transformer.headWrite(layer, index, at)),
  };
}
