// A program of its own for tests: `echo-server.ts PORT` answers datagrams and connections on all addresses
// with what it is sent, until it is ended; it prints a line when it listens.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

const port = Number(process.argv[2]);
const server = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(port, '::');
const socket = createSocket('udp6').bind(port, '::');
socket.on('message', (data, from) => socket.send(data, from.port, from.address));
await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
process.stdout.write('listening\n');
