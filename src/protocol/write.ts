// An agent's message -> the text of a frame, the inverse of parse.ts. Texts and lists are cut to the limits
// of the protocol, since a controller would close the stream at every longer one. Also cuts the reasons of
// close frames, for both sides.

import { type AgentMessage, limits } from './messages.ts';

/** A close frame has 125 bytes of payload (RFC 6455, section 5.5), two of them for the code. */
const closeReasonBytes = 123;

/** The frame of a message. A text that is cut ends with an ellipsis. */
export function agentFrame(message: AgentMessage): string {
  return JSON.stringify(bounded(message));
}

/** Cuts a reason to what fits into a close frame, and no character in two. */
export function shortReason(reason: string): string {
  const { read } = new TextEncoder().encodeInto(reason, new Uint8Array(closeReasonBytes));
  return reason.slice(0, read);
}

function bounded(message: AgentMessage): AgentMessage {
  switch (message.type) {
    case 'hello': {
      const { version, firewall, allow, onLink, macs } = message;
      return {
        ...message,
        version: cut(version, limits.name),
        firewall: cut(firewall, limits.name),
        allow: allow.slice(0, limits.ofNode),
        onLink: onLink.slice(0, limits.ofNode),
        ...(macs === undefined ? {} : { macs: macs.slice(0, limits.ofNode) }),
      };
    }
    case 'refused':
      return { ...message, reason: cut(message.reason, limits.reason) };
    default:
      return message;
  }
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
