'use strict';

// ws-server.js [deflate]: a WebSocket server that opens no tunnel at /refused and else echoes every message, but for a
// few commands in text messages:
//
//	ping        sends a ping, and says by a line when the pong comes
//	parts N     echoes the next message in N fragments
//	close N     closes with code N and a reason; no N: without a code
//	terminate   ends the connection without a close frame
//
// It writes a line at the end of every connection.

const http = require('node:http');
const { WebSocketServer } = require('ws');
const { say, serve } = require('./common');

const perMessageDeflate = process.argv[2] === 'deflate' && { threshold: 0 };
const server = http.createServer();

const verifyClient = ({ req }, answer) => (req.url === '/refused' ? answer(false, 418, 'No Tunnel Here') : answer(true));

new WebSocketServer({ server, perMessageDeflate, verifyClient }).on('connection', (ws) => {
  let parts = 1;
  ws.on('message', (payload, binary) => {
    const [command, value] = binary || payload.length > 32 ? [] : payload.toString().split(' ');
    switch (command) {
      case 'ping': return ws.ping('are you there');
      case 'parts': return void (parts = Number(value));
      case 'close': return value ? ws.close(Number(value), 'as you wish') : ws.close();
      case 'terminate': return ws.terminate();
    }
    const size = Math.ceil(payload.length / parts);
    for (let i = 0; i < parts; i++) ws.send(payload.subarray(i * size, (i + 1) * size), { binary, fin: i === parts - 1 });
    parts = 1;
  });
  ws.on('pong', (payload) => ws.send(`ponged ${payload}`));
  ws.on('close', (code, reason) => say({ code, reason: reason.toString() }));
});

serve(server);
