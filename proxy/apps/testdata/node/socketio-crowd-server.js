'use strict';

// socketio-crowd-server.js NAME [COOKIE]: a Socket.IO server as it comes, whose sessions nobody else knows. It sets a
// cookie of this name, if one is given. Who asks it is asked back before the answer, and GET /tally says what became of
// all sessions. A session whose URL has held=1 is upgraded to WebSocket no sooner than it says so in a message.

const http = require('node:http');
const { Server } = require('socket.io');
const { serve } = require('./common');

const [name, cookie] = process.argv.slice(2);
const tally = { sessions: 0, refused: {}, ended: {} };
const count = (counts, key) => { counts[key] = (counts[key] ?? 0) + 1; };

const server = http.createServer((request, response) => {
  response.writeHead(request.url === '/tally' ? 200 : 404, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(tally));
});
const io = new Server(server, { serveClient: false, cookie: cookie && { name: cookie } });
io.engine.on('connection_error', (error) => count(tally.refused, error.message)); // such as "Session ID unknown"

const held = new Map(); // by the session: what lets go of its upgrade
const [upgrade] = server.listeners('upgrade');
server.removeAllListeners('upgrade');
server.on('upgrade', (...request) => {
  const query = new URL(request[0].url, 'http://localhost').searchParams;
  if (query.get('held')) held.set(query.get('sid'), () => upgrade(...request));
  else upgrade(...request);
});

io.on('connection', (socket) => {
  tally.sessions++;
  socket.on('disconnect', (reason) => count(tally.ended, reason));
  socket.on('ask', async (number, answer) => {
    const transport = socket.conn.transport.name;
    try {
      const twice = await socket.timeout(10_000).emitWithAck('how much is twice', number);
      answer({ server: name, twice, transport });
    } catch { /* the session is lost, which its client tells */ }
  });
  socket.on('upgrade now', () => held.get(socket.conn.id)());
});

serve(server);
