'use strict';

// socketio-client.js URL COUNT AGENT TRANSPORT...: exchanges COUNT messages each way by the first transport, and as many
// once more by the second, if there is one, to which the connection was upgraded. AGENT is keep-alive, as browsers do, or
// close, which the client does on Node unless it is told otherwise.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { io } = require('socket.io-client');
const { run, letters, octets } = require('./common');

const [url, text, agent, ...transports] = process.argv.slice(2);
const count = Number(text);

// exchange has messages echoed and others pushed at the same time, and returns by which transports the echoes came.
async function exchange(socket) {
  const pushed = new Promise((resolve) => {
    let next = 0;
    socket.on('pushed', (i, payload) => {
      assert.equal(i, next++);
      if (i % 2) assert.equal(payload, letters(i * 37));
      else assert.ok(octets(i * 37).equals(payload));
      if (next === count) resolve();
    });
  });
  socket.emit('push', count);
  const used = {};
  for (let i = 0; i < count; i += 10) {
    await Promise.all(Array.from({ length: 10 }, async (_, j) => {
      const payload = (i + j) % 2 ? octets((i + j) * 41) : { seen: letters((i + j) * 41), at: i + j };
      const answered = socket.timeout(30_000);
      const [echo, transport] = await new Promise((resolve, reject) => {
        answered.emit('echo', payload, (error, ...answer) => (error ? reject(error) : resolve(answer)));
      });
      assert.deepEqual(echo, payload);
      used[transport] = (used[transport] ?? 0) + 1;
    }));
  }
  await pushed;
  socket.off('pushed');
  return used;
}

run(async () => {
  const socket = io(url, { transports, reconnection: false, forceNew: true, agent: agent === 'keep-alive' && new http.Agent({ keepAlive: true }) });
  socket.on('connect_error', (error) => { throw error; });
  await once(socket, 'connect');
  const result = { phases: [await exchange(socket)] };
  if (transports.length > 1) {
    const upgraded = once(socket.io.engine, 'upgrade');
    socket.emit('upgrade now');
    await upgraded;
    result.phases.push(await exchange(socket));
  }
  result.transport = socket.io.engine.transport.name;
  socket.disconnect();
  return result;
});
