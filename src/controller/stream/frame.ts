// Builds the WebSocket frame of a message (RFC 6455, section 5.2: final, text, not masked). It is built once
// and written to every agent that needs it, perhaps a thousand; `ws` would build a header and make two writes
// for each.

const finalText = 0x81;
/** Lengths up to these fit into the header's second byte, and into the two bytes that follow it. */
const [shortBytes, middleBytes] = [125, 0xffff];

export function frameOf(message: string): Buffer {
  const length = Buffer.byteLength(message);
  const headBytes = length <= shortBytes ? 2 : length <= middleBytes ? 4 : 10;
  const frame = Buffer.allocUnsafe(headBytes + length);
  frame[0] = finalText;
  frame[1] = headBytes === 2 ? length : headBytes === 4 ? 126 : 127;
  if (headBytes === 4) frame.writeUInt16BE(length, 2);
  if (headBytes === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.write(message, headBytes);
  return frame;
}
