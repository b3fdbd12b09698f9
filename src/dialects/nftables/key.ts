// The keys of elements: text with a character for each byte, which takes a seventh of what a Uint8Array of a
// few bytes does, and is compared and looked up as it is.

/** Longer than any key of the kernel (NFT_DATA_VALUE_MAXLEN), whatever bytes that lie may say. */
const mostArguments = 1024;

export function keyOf(bytes: Uint8Array): string {
  if (bytes.length > mostArguments)
    return keyOf(bytes.subarray(0, mostArguments)) + keyOf(bytes.subarray(mostArguments));
  // Put together one by one, it would be a rope that holds on to each of its pieces.
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

export function bytesOfKey(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}
