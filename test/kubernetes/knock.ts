// A program of its own for tests: `knock.ts RATE ADDRESS:PORT...` opens that many TCP connections a second,
// to the places in turn, until its stdin ends; then it prints what became of them.
import { once } from 'node:events';
import { connect } from 'node:net';

const [, , rate = '500', ...places] = process.argv;
const intervalMs = 20;
/** The most connections at once after a delay: more would exceed the rate. */
const mostAtOnce = 20;
/** A connection without an answer by then counts as dropped. */
const patienceMs = 400;

const counts = { tried: 0, opened: 0, refused: 0, dropped: 0 };
const startedMs = performance.now();

function knock(place: string): void {
  const at = place.lastIndexOf(':');
  const socket = connect({
    host: place.slice(0, at).replace(/[[\]]/g, ''),
    port: Number(place.slice(at + 1)),
  });
  counts.tried++;
  const timer = setTimeout(() => {
    counts.dropped++;
    socket.destroy();
  }, patienceMs);
  const settle = (result: 'opened' | 'refused') => () => {
    clearTimeout(timer);
    counts[result]++;
    socket.destroy();
  };
  socket.once('connect', settle('opened'));
  socket.once('error', settle('refused'));
}

let passed = 0;
const timer = setInterval(() => {
  const due = Math.floor((Number(rate) * (performance.now() - startedMs)) / 1000);
  for (passed = Math.max(passed, due - mostAtOnce); passed < due; passed++)
    knock(places[passed % places.length] ?? '');
}, intervalMs);
process.stdin.resume();
await once(process.stdin, 'end');
clearInterval(timer);
await new Promise((resolve) => setTimeout(resolve, patienceMs + 100));
process.stdout.write(
  `${JSON.stringify({ ...counts, lastedMs: Math.round(performance.now() - startedMs) })}\n`,
);
