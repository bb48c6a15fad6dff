'use strict';

// ws-client.js URL CASE [VALUE]: plays one case against ws-server.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { WebSocket } = require('ws');
const { run, letters, octets } = require('./common');

const [url, name, value] = process.argv.slice(2);
const sizes = [0, 1, 125, 126, 1000, 65535, 65536, 300_000, Number(value) || 1_000_000];

// receive waits for a message.
async function receive(ws) {
  const [payload, binary] = await once(ws, 'message');
  return binary ? payload : payload.toString();
}

// echo sends a message in parts, and wants it back.
async function echo(ws, payload, parts = 1) {
  const answer = receive(ws);
  const size = Math.ceil(payload.length / parts);
  for (let i = 0; i < parts; i++) ws.send(payload.slice(i * size, (i + 1) * size), { fin: i === parts - 1 });
  const got = await answer;
  if (typeof payload === 'string') assert.equal(got, payload);
  else assert.ok(payload.equals(got), `${payload.length} bytes came back as ${got.length} others`);
}

async function echoes(ws, make) {
  for (const size of sizes) await echo(ws, make(size));
  await Promise.all(sizes.map((size) => new Promise((resolve) => ws.send(make(size), resolve))).concat(
    (async () => {
      let left = sizes.length;
      await new Promise((resolve) => ws.on('message', () => --left || resolve()));
    })(),
  ));
  return { messages: 2 * sizes.length };
}

const cases = {
  text: (ws) => echoes(ws, letters),
  binary: (ws) => echoes(ws, octets),
  async fragments(ws) {
    for (const size of [2, 1000, 200_000]) {
      for (const parts of [2, 7]) {
        for (const payload of ['x'.repeat(size), octets(size)]) {
          ws.send(`parts ${parts}`);
          await echo(ws, payload, parts);
        }
      }
    }
    return { messages: 12 };
  },
  async pings(ws) {
    const pong = once(ws, 'pong');
    ws.ping('hello');
    assert.equal((await pong)[0].toString(), 'hello');
    const ping = once(ws, 'ping');
    const ponged = receive(ws);
    ws.send('ping');
    assert.equal((await ping)[0].toString(), 'are you there');
    assert.equal(await ponged, 'ponged are you there');
    return { messages: 1 };
  },
  // The bytes are text of which most can be spared.
  async deflate(ws) {
    assert.match(ws.extensions, /^permessage-deflate/);
    for (const size of sizes) {
      await echo(ws, letters(size));
      await echo(ws, Buffer.from(letters(size)));
      await echo(ws, letters(size), 3);
    }
    return { messages: 3 * sizes.length };
  },
  'client closes': async (ws) => ws.close(...(value ? [Number(value), 'good bye'] : [])),
  'server closes': async (ws) => ws.send(`close ${value ?? ''}`.trim()),
  'client is gone': async (ws) => ws.terminate(),
  'server is gone': async (ws) => ws.send('terminate'),
};

run(async () => {
  const ws = new WebSocket(url, { perMessageDeflate: name === 'deflate' && { threshold: 0 } });
  if (name === 'refused') {
    const [, answer] = await once(ws, 'unexpected-response');
    let reason = '';
    for await (const chunk of answer) reason += chunk;
    return { code: answer.statusCode, reason };
  }
  await once(ws, 'open');
  const closed = once(ws, 'close');
  const result = await cases[name](ws);
  if (result) ws.close(1000, 'done');
  const [code, reason] = await closed;
  return { ...result, code, reason: reason.toString() };
});
