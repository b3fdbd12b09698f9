// 32-bit hashes without allocation, for texts that no attacker chooses.

/** The initial value of FNV-1a (32-bit offset basis). */
export const fnvBasis = 0x811c9dc5;

/** FNV-1a over UTF-16 code units, from the basis or from the hash of a preceding text. */
export function fnv(seed: number, text: string): number {
  let value = seed;
  for (let index = 0; index < text.length; index++)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value;
}

/** FNV-1a over bytes, as it is defined. */
export function fnvBytes(seed: number, bytes: Uint8Array): number {
  let value = seed;
  for (let index = 0; index < bytes.length; index++)
    value = Math.imul(value ^ (bytes[index] ?? 0), 0x01000193);
  return value;
}

/** The finisher of MurmurHash3, as a signed number: similar texts get very different hashes. */
export function finished(value: number): number {
  const half = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  const whole = Math.imul(half ^ (half >>> 13), 0xc2b2ae35);
  return whole ^ (whole >>> 16);
}
