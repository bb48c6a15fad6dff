'use strict';

// A Socket.IO server that echoes, and pushes as many events as a client wants. A session that has begun by long polling
// is upgraded to WebSocket no sooner than the client says so in a message, so that others go by long polling before.

const http = require('node:http');
const { Server } = require('socket.io');
const { serve, letters, octets } = require('./common');

const server = http.createServer();
const io = new Server(server, { serveClient: false });

const held = [];
let open = false;
const [upgrade] = server.listeners('upgrade');
server.removeAllListeners('upgrade');
server.on('upgrade', (...request) => {
  if (open || !request[0].url.includes('sid=')) upgrade(...request);
  else held.push(request);
});

io.on('connection', (socket) => {
  socket.on('echo', (payload, answer) => answer(payload, socket.conn.transport.name));
  socket.on('push', (count) => {
    for (let i = 0; i < count; i++) socket.emit('pushed', i, i % 2 ? letters(i * 37) : octets(i * 37));
  });
  socket.on('upgrade now', () => {
    open = true;
    for (const request of held.splice(0)) upgrade(...request);
  });
});

serve(server);
