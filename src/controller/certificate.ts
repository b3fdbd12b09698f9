// Makes X.509 certificates (RFC 5280) with P-256 keys: a self-signed authority, and server certificates that
// it signs. node:crypto only reads certificates, so the few fields needed are encoded here.

import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';

/** A certificate and its key, both PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateInput {
  readonly subject: string;
  readonly fromMs: number;
  readonly days: number;
}

const dayMs = 86_400_000;
/** Clocks of nodes differ: a certificate is valid from an hour before it was made. */
const backdatedMs = 3_600_000;

/** Makes a self-signed authority. */
export function makeAuthority(input: CertificateInput): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = [
    extension(oid.basicConstraints, sequence(der(tag.boolean, Buffer.of(0xff)))),
    usage(0x06, 1),
  ];
  return {
    cert: signed(input, input.subject, { privateKey, publicKey, extensions }),
    key: pemOf(privateKey),
  };
}

/** Makes the certificate of a server with these DNS names, signed by the authority. */
export function makeServerPair(authority: Pair, names: readonly string[], input: CertificateInput): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const alternatives = names.map((name) => der(tag.dnsName, Buffer.from(name, 'ascii')));
  const extensions = [
    extension(oid.basicConstraints, sequence()),
    usage(0x80, 7),
    extension(oid.extendedKeyUsage, sequence(der(tag.oid, oid.serverAuth)), false),
    extension(oid.subjectAltName, sequence(...alternatives), false),
  ];
  const issuer = new X509Certificate(authority.cert).subject.replace(/^CN=/, '');
  const made = { privateKey: createPrivateKey(authority.key), publicKey, extensions };
  return { cert: signed(input, issuer, made), key: pemOf(privateKey) };
}

/** The share of a certificate's validity that has passed: 0 at its start, 1 at its end. */
export function ageOf(cert: string, nowMs: number): number {
  const { validFrom, validTo } = new X509Certificate(cert);
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  return (nowMs - from) / (to - from);
}

interface Signing {
  /** Of the issuer. */
  readonly privateKey: KeyObject;
  /** Of the subject. */
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

function signed(
  { subject, fromMs, days }: CertificateInput,
  issuer: string,
  { privateKey, publicKey, extensions }: Signing,
): string {
  const algorithm = sequence(der(tag.oid, oid.ecdsaWithSha256));
  const serial = randomBytes(16);
  // A serial number is positive and has no leading zero.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const body = sequence(
    der(tag.version, der(tag.integer, Buffer.of(2))),
    der(tag.integer, serial),
    algorithm,
    nameOf(issuer),
    sequence(timeOf(fromMs - backdatedMs), timeOf(fromMs + days * dayMs)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(tag.extensions, sequence(...extensions)),
  );
  const signature = sign('sha256', body, privateKey);
  const bytes = sequence(body, algorithm, der(tag.bitString, Buffer.of(0), signature));
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
  dnsName: 0x82,
  version: 0xa0,
  extensions: 0xa3,
} as const;

const oid = {
  ecdsaWithSha256: Buffer.from('2a8648ce3d040302', 'hex'),
  commonName: Buffer.from('550403', 'hex'),
  basicConstraints: Buffer.from('551d13', 'hex'),
  keyUsage: Buffer.from('551d0f', 'hex'),
  subjectAltName: Buffer.from('551d11', 'hex'),
  extendedKeyUsage: Buffer.from('551d25', 'hex'),
  serverAuth: Buffer.from('2b06010505070301', 'hex'),
} as const;

/** One ASN.1 value in DER: tag, length, contents. */
function der(kind: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(kind, length), content]);
  const digits = Buffer.from(length.toString(16).padStart(length < 0x100 ? 2 : 4, '0'), 'hex');
  return Buffer.concat([Buffer.of(kind, 0x80 | digits.length), digits, content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(tag.sequence, ...contents);
}

function nameOf(commonName: string): Buffer {
  const value = der(tag.utf8, Buffer.from(commonName));
  return sequence(der(tag.set, sequence(der(tag.oid, oid.commonName), value)));
}

/** UTCTime with a two-digit year before 2050, GeneralizedTime with four digits from then on. */
function timeOf(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return text < '2050' ? der(tag.utcTime, Buffer.from(text.slice(2))) : der(tag.time, Buffer.from(text));
}

function extension(id: Buffer, value: Buffer, isCritical = true): Buffer {
  const critical = isCritical ? [der(tag.boolean, Buffer.of(0xff))] : [];
  return sequence(der(tag.oid, id), ...critical, der(tag.octetString, value));
}

/** The key usage extension; `unused` is the number of unused bits at the end of the octet. */
function usage(bits: number, unused: number): Buffer {
  return extension(oid.keyUsage, der(tag.bitString, Buffer.of(unused, bits)));
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
