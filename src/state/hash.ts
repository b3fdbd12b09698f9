// A hash of 32 bits for texts that nobody chooses to make collide, without an allocation.

/** Where a text begins (FNV-1a, the offset basis of 32 bits). */
export const fnvBasis = 0x811c9dc5;

/** FNV-1a over UTF-16 code units, from a basis or from where another text has ended. */
export function fnv(seed: number, text: string): number {
  let value = seed;
  for (let index = 0; index < text.length; index++)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value;
}

/** The same over bytes, as FNV-1a is meant. */
export function fnvBytes(seed: number, bytes: Uint8Array): number {
  let value = seed;
  for (let index = 0; index < bytes.length; index++)
    value = Math.imul(value ^ (bytes[index] ?? 0), 0x01000193);
  return value;
}

/** The finisher of MurmurHash3, signed: texts that differ little must not have hashes that do. */
export function finished(value: number): number {
  const half = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  const whole = Math.imul(half ^ (half >>> 13), 0xc2b2ae35);
  return whole ^ (whole >>> 16);
}
