'use strict';

// What the scripts have in common: they live no longer than their standard input, and write one JSON value per line.

process.stdin.resume();
process.stdin.on('end', () => process.exit(process.exitCode ?? 0));

function say(value) {
  process.stdout.write(JSON.stringify(value) + '\n');
}

// serve says on which port a server listens.
function serve(server) {
  server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
}

// run runs a client to its end.
function run(client) {
  client().then(
    (result) => { say(result); process.stdin.destroy(); },
    (error) => { console.error(error); process.exit(1); },
  );
}

// letters returns text that also has characters of more than one byte.
function letters(size) {
  return 'Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich — 🥊. '.repeat(size / 70 + 1).slice(0, size).replace(/[\ud800-\udbff]$/, '');
}

// octets returns bytes of every value.
function octets(size) {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = i * 7 + (i >> 8);
  return bytes;
}

module.exports = { say, serve, run, letters, octets };
