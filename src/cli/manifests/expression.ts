// Parses the expression between a template's braces: operands, calls in prefix notation, and pipelines. Pure;
// template.ts uses it, and render.ts evaluates the result.

export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number }
  /** `.Values.a` or `$name.a`; the root is the first word. */
  | { readonly kind: 'path'; readonly root: string; readonly keys: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] };

/** Throws a plain Error that names the part that cannot be parsed. */
export function parseExpression(words: string): Expression {
  const tokens = words.match(/"(?:[^"\\]|\\.)*"|[()|]|[^\s()|"]+/g) ?? [];
  const reader = new Reader(tokens);
  const expression = reader.pipeline();
  if (reader.next !== undefined) throw new Error(`${reader.next} is not expected in {{ ${words} }}`);
  return expression;
}

class Reader {
  readonly #tokens: string[];

  constructor(tokens: readonly string[]) {
    this.#tokens = [...tokens];
  }

  get next(): string | undefined {
    return this.#tokens[0];
  }

  /** Each value becomes the last argument of the next call. */
  pipeline(): Expression {
    let value = this.#call();
    while (this.next === '|') {
      this.#tokens.shift();
      const then = this.#call();
      if (then.kind !== 'call') throw new Error('expected a function after |');
      value = { ...then, args: [...then.args, value] };
    }
    return value;
  }

  #call(): Expression {
    const first = this.#operand();
    if (first.kind !== 'call') return first;
    const args: Expression[] = [];
    while (this.next !== undefined && this.next !== ')' && this.next !== '|') args.push(this.#operand());
    return { ...first, args: [...first.args, ...args] };
  }

  #operand(): Expression {
    const token = this.#tokens.shift();
    if (token === undefined) throw new Error('expected a value');
    if (token === '(') {
      const inner = this.pipeline();
      if (this.#tokens.shift() !== ')') throw new Error('expected ) at the end of (');
      return inner;
    }
    if (token.startsWith('"')) return { kind: 'literal', value: JSON.parse(token) as string };
    if (/^\d+$/.test(token)) return { kind: 'literal', value: Number(token) };
    if (token === '.Files.Get') return { kind: 'call', name: token, args: [] };
    const path = /^(\.[A-Za-z]\w*|\$\w+)((?:\.\w+)*)$/.exec(token);
    if (path !== null) {
      const [, root = '', keys = ''] = path;
      return { kind: 'path', root, keys: keys.split('.').slice(1) };
    }
    if (/^[a-z]\w*$/i.test(token)) return { kind: 'call', name: token, args: [] };
    throw new Error(`${token} is not a value, a path or a function`);
  }
}
