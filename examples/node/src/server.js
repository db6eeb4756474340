// A small HTTP server that keeps notes in files: an example, in place of which your product goes.
'use strict';
const fs = require('node:fs/promises');
const http = require('node:http');
const path = require('node:path');

const { NOTES_PORT, NOTES_FOLDER, NOTES_TOKEN } = process.env;
let parts = 0; // of files that are being written

async function store(key, text) {
  const name = path.join(NOTES_FOLDER, key);
  const part = path.join(NOTES_FOLDER, `.${key}.${parts++}`);
  const known = await fs.access(name).then(() => true, () => false);
  const file = await fs.open(part, 'w');
  try {
    await file.writeFile(text);
    await file.sync(); // what is acknowledged is on the disk
  } finally {
    await file.close();
  }
  await fs.rename(part, name);
  return known ? 200 : 201;
}

async function answer(request) {
  if (request.url === '/health') return [200, 'good\n'];
  if (request.headers['x-token'] !== NOTES_TOKEN) return [401, ''];
  const match = /^\/notes\/([A-Za-z0-9-]{1,64})$/.exec(request.url);
  if (!match) return [404, ''];
  const name = path.join(NOTES_FOLDER, match[1]);
  try {
    if (request.method === 'GET') return [200, await fs.readFile(name, 'utf8')];
    if (request.method === 'DELETE') return [204, await fs.unlink(name).then(() => '')];
    if (request.method !== 'PUT') return [405, ''];
  } catch (error) {
    if (error.code === 'ENOENT') return [404, 'no such note'];
    throw error;
  }
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return [await store(match[1], Buffer.concat(pieces)), ''];
}

http.createServer((request, response) => {
  answer(request).catch((error) => {
    console.error(error);
    return [500, ''];
  }).then(([status, text]) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
    response.end(text);
  });
}).listen(Number(NOTES_PORT), () => console.log(`notes: port ${NOTES_PORT}, notes in ${NOTES_FOLDER}`));
