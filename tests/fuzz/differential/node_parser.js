// Reads connections (one base64 line each) and prints what Node's HTTP server finds in each, as one
// line of JSON: { requests: [{ method, target, host, length, complete, id }], error }.
"use strict";
const http = require("http");
const { Duplex } = require("stream");
const readline = require("readline");

class Connection extends Duplex {
  constructor(bytes) {
    super({ allowHalfOpen: true });
    this.bytes = bytes;
  }
  _read() {
    if (this.bytes !== null) {
      const bytes = this.bytes;
      this.bytes = null;
      if (bytes.length > 0) this.push(bytes);
      this.push(null);
    }
  }
  _write(_chunk, _encoding, done) {
    done();
  }
  setTimeout() {}
  setNoDelay() {}
  setKeepAlive() {}
}

function parse(bytes) {
  return new Promise((resolve) => {
    const found = { requests: [], error: null };
    const one = (request, response) => {
      const host = [];
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        if (request.rawHeaders[i].toLowerCase() === "host") host.push(request.rawHeaders[i + 1]);
      }
      const seen = {
        method: request.method,
        target: request.url,
        host,
        length: 0,
        complete: false,
        id: request.headers["x-request-id"] || null,
      };
      found.requests.push(seen);
      request.on("data", (chunk) => (seen.length += chunk.length));
      request.on("end", () => {
        seen.complete = request.complete;
        if (response) response.end();
      });
      request.on("error", () => {});
      request.resume();
    };
    const server = http.createServer({ requestTimeout: 0, headersTimeout: 0 }, one);
    server.keepAliveTimeout = 0;
    server.on("checkContinue", one);
    server.on("checkExpectation", one);
    server.on("connect", (request) => one(request, null));
    server.on("upgrade", (request, _socket, head) => {
      one(request, null);
      const seen = found.requests[found.requests.length - 1];
      seen.complete = true;
      seen.after = head.length;
      setImmediate(end);
    });
    server.on("clientError", (error) => {
      found.error = found.error || error.code || String(error);
      setImmediate(end);
    });
    const connection = new Connection(bytes);
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      connection.destroy();
      resolve(found);
    };
    connection.on("close", end);
    connection.on("error", end);
    server.emit("connection", connection);
    // Everything is in memory: what has not happened after this never will.
    setTimeout(end, 2000).unref();
    connection.on("end", () => setTimeout(end, 20));
  });
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await parse(Buffer.from(line, "base64"))));
  }
})();
