// What to do about a TLS error, on either side of a connection. Pure.

const unknownIssuer: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]);

/** The message of an error, without the advice of Node to start it with a flag that vipward does not have. */
export function ownWords({ message }: Error): string {
  return message.replace(/; if the root CA is installed locally, .*$/, '');
}

/** The advice for an error code; undefined if it is not a TLS error. */
export function tlsAdvice(code: string): string | undefined {
  if (unknownIssuer.has(code)) return 'give the CA that signed the certificate of the server as --ca-file';
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'use a name of the server that is in its certificate';
    case 'CERT_HAS_EXPIRED':
      return 'renew the certificate of the server, or set the clocks of both hosts';
    case 'CERT_NOT_YET_VALID':
      return 'set the clocks of both hosts';
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'EPROTO':
    case 'ECONNRESET':
    case 'HPE_INVALID_CONSTANT':
      return 'use wss or https for a server with TLS, ws or http for one without';
    default:
      return code.includes('_ALERT_') ? 'give a certificate that the server accepts' : undefined;
  }
}
