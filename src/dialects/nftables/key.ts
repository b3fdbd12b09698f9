// The keys of elements as strings with one character per byte. A string takes a seventh of the memory of a
// short Uint8Array, and can be compared and used as a Map key.

/** Longer than any key of the kernel (NFT_DATA_VALUE_MAXLEN); a guard against malformed dumps. */
const mostArguments = 1024;

export function keyOf(bytes: Uint8Array): string {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  if (bytes.length === 4) return String.fromCharCode(a, b, c, d);
  if (bytes.length > mostArguments)
    return keyOf(bytes.subarray(0, mostArguments)) + keyOf(bytes.subarray(mostArguments));
  // A string concatenated byte by byte would be a V8 rope that keeps all its pieces alive.
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

export function bytesOfKey(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}
