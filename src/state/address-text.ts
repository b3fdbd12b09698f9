// The texts of addresses and their bytes. Parses character by character, since every change passes through
// here, and a hello may have a hundred thousand addresses.

const dot = 46;
const zero = 48;
const colon = 58;

/** The 4 or 16 bytes that a text means, 4 of them in `room`; undefined if it is no address. */
export function bytesOf(text: string, room: Uint8Array = new Uint8Array(4)): Uint8Array | undefined {
  return text.includes(':') ? bytesOf6(text) : bytesOf4(text, room);
}

/** Dotted quad, or RFC 5952: lower case, the first longest run of two or more zero groups shortened. */
export function textOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  let [first, length, run] = [8, 1, 0];
  for (let group = 0; group < 8; group++) {
    run = groupAt(bytes, group) === 0 ? run + 1 : 0;
    if (run > length) [first, length] = [group - run + 1, run];
  }
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === first) {
      text += '::';
      group += length - 1;
    } else {
      if (group > 0 && group !== first + length) text += ':';
      text += groupAt(bytes, group).toString(16);
    }
  }
  return text;
}

function bytesOf4(text: string, bytes: Uint8Array): Uint8Array | undefined {
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index === text.length ? dot : text.charCodeAt(index);
    if (code === dot) {
      if (digits === 0 || part === 4) return undefined;
      bytes[part++] = value;
      digits = 0;
      value = 0;
      continue;
    }
    const digit = code - zero;
    // Some parsers read a leading zero as octal and others as decimal, so it is refused.
    if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return undefined;
    value = value * 10 + digit;
    digits++;
    if (value > 255) return undefined;
  }
  return part === 4 ? bytes : undefined;
}

function bytesOf6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  let length = 0;
  let gap = text.startsWith('::') ? 0 : undefined;
  let index = gap === undefined ? 0 : 2;
  while (index < text.length) {
    const start = index;
    let value = 0;
    for (;;) {
      const digit = hexadecimal(text.charCodeAt(index));
      if (digit < 0) break;
      value = value * 16 + digit;
      index++;
    }
    if (text.charCodeAt(index) === dot) {
      const tail = bytesOf4(text.slice(start), new Uint8Array(4));
      if (tail === undefined || length > 12) return undefined;
      bytes.set(tail, length);
      length += 4;
      break;
    }
    if (index === start || index - start > 4 || length === 16) return undefined;
    bytes[length++] = value >> 8;
    bytes[length++] = value & 0xff;
    if (index === text.length) break;
    if (text.charCodeAt(index++) !== colon || index === text.length) return undefined;
    if (text.charCodeAt(index) !== colon) continue;
    if (gap !== undefined) return undefined;
    gap = length;
    index++;
  }
  if (gap === undefined) return length === 16 ? bytes : undefined;
  // `::` stands for at least one group.
  if (length === 16) return undefined;
  bytes.copyWithin(16 + gap - length, gap, length);
  return bytes.fill(0, gap, 16 + gap - length);
}

/** The value of a hexadecimal digit; less than zero for any other character. */
function hexadecimal(code: number): number {
  if (code >= zero && code <= 57) return code - zero;
  const letter = (code | 0x20) - 97;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

function groupAt(bytes: Uint8Array, group: number): number {
  return ((bytes[group * 2] ?? 0) << 8) | (bytes[group * 2 + 1] ?? 0);
}
