'use strict';

// socketio-crowd.js URL ORDER: many Socket.IO sessions, over kept connections that all of them share, as behind the
// proxy of a company. Each begins by long polling, is upgraded to WebSocket, has one event go each way and be
// acknowledged, and says goodbye. ORDER is JSON:
//   count      how many sessions there are
//   atOnce     how many of them at the same time
//   header     name and value of one that each session sends, "#" being its number
//   residents  how many others there are from the beginning to the end, in long polling until then. With some, it says so
//              when half of the sessions have begun, and half of them begin after a line on standard input has come.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { io } = require('socket.io-client');
const { run, say } = require('./common');

const [url, order] = process.argv.slice(2);
const { count, atOnce, header, residents } = JSON.parse(order);
const agent = new http.Agent({ keepAlive: true });
let numbers = 0;

// Session is one session. Each of its promises fails as soon as the session is lost.
class Session {
  constructor(query) {
    this.number = numbers++;
    this.name = `session ${this.number}`;
    const extraHeaders = { 'User-Agent': this.name }; // by which the access log tells whose a request is
    if (header) extraHeaders[header[0]] = header[1].replace('#', this.number);
    // withCredentials: with it socket.io-client has on Node a store of cookies for each session, by polling and by
    // WebSocket, as browsers have one. (engine.io-client 6.6, createCookieJar.)
    this.socket = io(url, { query, agent, forceNew: true, reconnection: false, withCredentials: true, extraHeaders });
    this.socket.on('how much is twice', (number, answer) => answer(2 * number));
    this.lost = new Promise((_, reject) => {
      this.socket.on('connect_error', (error) => reject(new Error(`${error.message}: ${error.context?.status} ${error.context?.responseText}`)));
      this.socket.on('disconnect', (reason, details) => reject(new Error(`${reason}: ${details?.description}, ${details?.context?.responseText}`)));
      this.socket.io.engine.on('upgradeError', (error) => reject(new Error(`not upgraded: ${error.message}`)));
      this.timer = setTimeout(() => reject(new Error('nothing came of it for long')), 50_000);
    });
    this.lost.catch(() => {});
    this.upgraded = once(this.socket.io.engine, 'upgrade'); // it may come before, or after, the session is connected
    this.upgraded.catch(() => {});
  }

  until(step) { return Promise.race([step, this.lost]); }

  async connect() {
    assert.equal(this.socket.io.engine.transport.name, 'polling');
    await this.until(once(this.socket, 'connect'));
  }

  upgrade() { return this.until(this.upgraded); }

  // ask has an event go each way, by this transport.
  async ask(by) {
    const { server, twice, transport } = await this.until(this.socket.timeout(10_000).emitWithAck('ask', this.number));
    assert.deepEqual({ twice, transport }, { twice: 2 * this.number, transport: by });
    assert.equal(server, this.server ?? server, 'the server is another one');
    this.server = server;
  }

  end() {
    clearTimeout(this.timer);
    this.socket.disconnect();
  }
}

// play takes a session through some steps and returns what is to be told of it.
async function play(session, steps) {
  try {
    await steps(session);
    return { name: session.name, server: session.server };
  } catch (error) {
    return { name: session.name, server: session.server, lost: error.message };
  } finally {
    session.end();
  }
}

async function visit(session) {
  await session.connect();
  await session.upgrade();
  await session.ask('websocket');
}

// stay is what residents do. When all sessions are over, release resolves.
async function stay(session, settled, release) {
  try {
    await session.connect();
    await session.ask('polling');
  } finally {
    settled();
  }
  await session.until(release);
  await session.ask('polling');
  session.socket.emit('upgrade now');
  await session.upgrade();
  await session.ask('websocket');
}

// visits runs the sessions.
async function visits() {
  const all = [];
  let joined = false;
  let before = 0;
  let after = 0;
  process.stdin.on('data', () => { joined = true; });
  const more = () => (residents ? after < count / 2 : before < count);
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (more()) {
      const late = joined;
      if (late) after++;
      else if (++before === count / 2 && residents) say({ half: before });
      assert.ok(before <= 10 * count, 'nobody ever said that a server has joined');
      all.push({ ...await play(new Session(), visit), late });
    }
  }));
  return all;
}

run(async () => {
  let release;
  const over = new Promise((resolve) => { release = resolve; });
  const stays = [];
  await Promise.all(Array.from({ length: residents ?? 0 }, () => new Promise((settled) => {
    stays.push(play(new Session({ held: 1 }), (session) => stay(session, settled, over)));
  })));
  const sessions = await visits();
  release();
  const result = { sessions, residents: await Promise.all(stays) };
  setTimeout(() => process.exit(), 500).unref(); // whatever lost sessions still wait for
  return result;
});
