// What Pyodide finds when it boots: a bare JavaScript shell with its files in memory, and nothing of the web or of Node.
// Everything here is there for the boot; of what a job can still reach, `sever.js` holds the list.
(() => {
  "use strict";
  const realm = globalThis;
  const files = new Map();
  const named = (path) => String(path).split("/").pop();
  realm.sandbox = { files };
  realm.readbuffer = (path) => {
    const content = files.get(named(path));
    if (content === undefined) throw new Error("there is no file " + path);
    return content;
  };
  realm.read = (path) => new TextDecoder().decode(realm.readbuffer(path));
  realm.load = () => { throw new Error("nothing can be loaded"); };
  for (const level of ["log", "warn", "error", "info", "debug", "trace"]) realm.console[level] = () => {};

  // -- text -----------------------------------------------------------------------------------------------------------
  realm.TextEncoder = class {
    get encoding() { return "utf-8"; }
    encode(text = "") {
      const bytes = new Uint8Array(String(text).length * 3);
      return bytes.slice(0, this.encodeInto(text, bytes).written);
    }
    encodeInto(text, bytes) {
      let read = 0, written = 0;
      for (const character of String(text).toWellFormed()) {
        const code = character.codePointAt(0);
        const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (written + size > bytes.length) break;
        if (size === 1) bytes[written] = code;
        else {
          for (let place = size - 1, rest = code; place > 0; place--, rest >>>= 6) bytes[written + place] = 0x80 | (rest & 0x3f);
          bytes[written] = (0xf00 >> size) & 0xff | (code >>> (6 * (size - 1)));
        }
        written += size;
        read += character.length;
      }
      return { read, written };
    }
  };
  realm.TextDecoder = class {
    constructor(encoding = "utf-8") { this.encoding = String(encoding).toLowerCase(); }
    decode(data) {
      if (data === undefined) return "";
      const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
      const units = this.encoding.startsWith("utf-16") ? new Uint16Array(bytes.slice().buffer, 0, bytes.length >> 1)
        : this.encoding.startsWith("utf-8") || this.encoding === "utf8" ? utf16(bytes) : bytes;
      let text = "";
      for (let place = 0; place < units.length; place += 8192) {
        text += String.fromCharCode.apply(null, units.subarray(place, place + 8192));
      }
      return text;
    }
  };
  const utf16 = (bytes) => {
    let ascii = true;
    for (let place = 0; place < bytes.length && ascii; place++) ascii = bytes[place] < 0x80;
    if (ascii) return bytes;
    const units = new Uint16Array(bytes.length);
    let length = 0;
    for (let place = 0; place < bytes.length;) {
      const first = bytes[place++];
      const more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : -1;
      let code = more <= 0 ? (more ? 0xfffd : first) : first & (0x3f >> more);
      for (let left = more; left > 0; left--) code = (code << 6) | (bytes[place++] & 0x3f);
      if (code > 0xffff) {
        units[length++] = 0xd7c0 + (code >> 10);
        code = 0xdc00 | (code & 0x3ff);
      }
      units[length++] = code;
    }
    return units.subarray(0, length);
  };

  // -- chance: ChaCha20 (RFC 8439) keyed by the host, anew for each job -------------------------------------------------
  const state = new Uint32Array(16), block = new Uint32Array(16), stream = new Uint8Array(block.buffer);
  let used = 64;
  const quarter = (a, b, c, d) => {
    block[a] += block[b]; block[d] = rotated(block[d] ^ block[a], 16);
    block[c] += block[d]; block[b] = rotated(block[b] ^ block[c], 12);
    block[a] += block[b]; block[d] = rotated(block[d] ^ block[a], 8);
    block[c] += block[d]; block[b] = rotated(block[b] ^ block[c], 7);
  };
  const rotated = (word, by) => (word << by) | (word >>> (32 - by));
  const nextBlock = () => {
    block.set(state);
    for (let round = 0; round < 10; round++) {
      quarter(0, 4, 8, 12); quarter(1, 5, 9, 13); quarter(2, 6, 10, 14); quarter(3, 7, 11, 15);
      quarter(0, 5, 10, 15); quarter(1, 6, 11, 12); quarter(2, 7, 8, 13); quarter(3, 4, 9, 14);
    }
    for (let place = 0; place < 16; place++) block[place] += state[place];
    if (++state[12] === 0) state[13]++;
    used = 0;
  };
  realm.sandbox.reseed = (words) => {
    state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...words.slice(0, 8), 0, 0, 0, 0]);
    used = 64;
  };
  realm.crypto = {
    getRandomValues(view) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      for (let place = 0; place < bytes.length; place++) {
        if (used === 64) nextBlock();
        bytes[place] = stream[used];
        stream[used++] = 0;
      }
      return view;
    },
  };

  // -- the rest of what is looked for -----------------------------------------------------------------------------------
  realm.performance = { now: () => Date.now(), timeOrigin: 0 };
  class AbortSignal { static any() { return new AbortSignal(); } addEventListener() {} removeEventListener() {} }
  realm.AbortSignal = AbortSignal;
  realm.AbortController = class { constructor() { this.signal = new AbortSignal(); } abort() {} };
  realm.URL = class { constructor(path) { this.href = String(path); } toString() { return this.href; } };
  realm.EventTarget ??= class {};
  realm.Event ??= class {};
  realm.setInterval ??= () => 0;
  realm.clearInterval ??= () => {};
  delete WebAssembly.promising; // calls that wait for a promise would leave the stack of a job
  delete WebAssembly.Suspending;
  const { Module, Instance } = WebAssembly;
  WebAssembly.compile = async (binary) => new Module(binary);
  WebAssembly.instantiate = async (given, imports) => {
    if (given instanceof Module) return new Instance(given, imports);
    const module = new Module(given);
    return { module, instance: new WebAssembly.Instance(module, imports) };
  };
})();
