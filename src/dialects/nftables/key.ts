// The keys of elements: text with a character for each byte, which takes a seventh of what a Uint8Array of a
// few bytes does, and is compared and looked up as it is.

export function keyOf(bytes: Uint8Array): string {
  let key = '';
  for (let index = 0; index < bytes.length; index++) key += String.fromCharCode(bytes[index] ?? 0);
  return key;
}

export function bytesOfKey(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}
