// What stands in each fresh isolate before a job's code: it takes away what is no pure computation, captures the
// console, runs the job and writes down what came of it. Its last expression is the function that the worker calls.
//
// The code of the job shares this realm and may poison every built-in. So whatever runs after it uses only what was
// taken here beforehand. A job that gets the better of this code has forged its own answer, and nothing else: the
// isolate holds no way out, and the service checks the answer.
(() => {
  "use strict";
  const own = (method) => Function.prototype.call.bind(method);
  const { stringify, parse } = JSON;
  const { ownKeys, getPrototypeOf, apply } = Reflect;
  const { defineProperty, is, create, keys: keysOf } = Object;
  const { isFinite: finite } = Number;
  const ofObjects = Object.prototype, ofArrays = Array.prototype;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const text = String, number = Number, big = BigInt, DateOf = Date, MapOf = Map, SetOf = Set, Bytes = Uint8Array;
  const Fault = Error, WrongSyntax = SyntaxError;
  const evaluate = globalThis.eval;
  const compiled = Function;
  const AsyncFunction = getPrototypeOf(async () => {}).constructor;
  const slice = own(String.prototype.slice);
  const includes = own(String.prototype.includes);
  const wellFormed = own(String.prototype.toWellFormed);
  const matches = own(RegExp.prototype.test);
  const found = own(RegExp.prototype.exec);
  const isDate = (value) => tagged(() => time(value));
  const time = own(Date.prototype.getTime);
  const isoText = own(Date.prototype.toISOString);
  const eachOfMap = own(Map.prototype.forEach);
  const mapSize = own(Object.getOwnPropertyDescriptor(Map.prototype, "size").get);
  const mapSet = own(Map.prototype.set);
  const setAdd = own(Set.prototype.add);
  const eachOfSet = own(Set.prototype.forEach);
  const setSize = own(Object.getOwnPropertyDescriptor(Set.prototype, "size").get);
  const errorStack = own(Object.getOwnPropertyDescriptor(new Error("x"), "stack")?.get ?? (() => undefined));
  const toBase64 = own(Uint8Array.prototype.toBase64);
  const fromBase64 = Uint8Array.fromBase64;
  const bufferLength = own(Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength").get);
  const bytesLength = own(Object.getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), "byteLength").get);

  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics", "FinalizationRegistry", "WeakRef"]) {
    delete globalThis[name];
  }

  const DEEPEST = 100;
  const LONGEST_MESSAGE = 2000;
  const FILE = "job.js";
  const PLACE = /job\.js:(\d+):(\d+)/;

  // -- chance ---------------------------------------------------------------------------------------------------------
  // V8 would seed an isolate from the clock, since it can open no file. This is sfc32 with a seed from the host.
  const reseed = (a, b, c) => {
    let d = 1;
    const next = () => {
      const sum = (((a + b) | 0) + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + sum | 0;
      return sum >>> 0;
    };
    for (let round = 0; round < 15; round++) next();
    const random = { random() { return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992; } }.random;
    defineProperty(Math, "random", { value: random, writable: true, configurable: true });
  };

  // -- console --------------------------------------------------------------------------------------------------------
  let logs = "", logSize = 0, logLimit = 0, cut = false;
  const log = (level, args) => {
    let line = "";
    for (let place = 0; place < args.length && line.length < logLimit; place++) {
      line += (place ? " " : "") + shown(args[place]);
    }
    if (logSize + line.length > logLimit) {
      line = slice(line, 0, logLimit > logSize ? logLimit - logSize : 0);
      cut = true;
      if (!line) return;
    }
    logSize += line.length + 16;
    logs += (logs && ",") + '{"level":"' + level + '","text":' + stringify(wellFormed(line)) + "}";
  };
  const shown = (value) => {
    try {
      if (typeof value === "string") return slice(value, 0, logLimit);
      if (typeof value === "function") return "[Function]";
      if (typeof value === "symbol") return text(value);
      if (typeof value === "bigint") return text(value) + "n";
      if (value instanceof Fault) return slice(text(value), 0, LONGEST_MESSAGE);
      return typeof value === "object" ? sent(value, logLimit) : text(value);
    } catch {
      return "[?]";
    }
  };
  const consoleOf = create(null);
  for (const level of ["log", "info", "warn", "error", "debug"]) {
    consoleOf[level] = { [level](...args) { if (!cut) log(level, args); } }[level];
  }
  defineProperty(globalThis, "console", { value: consoleOf, writable: true, configurable: true, enumerable: false });

  // -- values ---------------------------------------------------------------------------------------------------------
  // JSON, and what it lacks as an object with one key: {"$date": …}, {"$map": [[k, v]]}, {"$set": [v]},
  // {"$bytes": base64}, {"$bigint": digits}, {"$number": "NaN"}. An object whose only key begins with "$" is
  // wrapped as {"$object": {…}}.
  class Refused { constructor(message) { this.message = message; } }
  class Room {
    constructor(size) { this.left = size; }
    take(size) { if ((this.left -= size) < 0) throw new Refused("it is larger than the sandbox lets out"); }
  }
  const tagged = (read) => { try { read(); return true; } catch { return false; } };

  // Most results are plain JSON: V8's own serialiser is many times faster than the one below, in a realm this young.
  const sent = (value, limit) => {
    if (simple(value, 0)) {
      const text = stringify(value);
      if (text.length > limit) throw new Refused("it is larger than the sandbox lets out");
      if (!includes(text, "\\ud")) return text;
    }
    return encoded(value, 0, new Room(limit));
  };
  const simple = (value, depth) => {
    switch (typeof value) {
      case "string": case "boolean": return true;
      case "number": return finite(value) && !is(value, -0);
      case "object": break;
      default: return false;
    }
    if (value === null) return true;
    if (depth >= DEEPEST || value.toJSON !== undefined) return false;
    const kind = getPrototypeOf(value);
    if (isArray(value)) {
      if (kind !== ofArrays) return false;
      for (let place = 0; place < value.length; place++) if (!simple(value[place], depth + 1)) return false;
      return true;
    }
    if (kind !== ofObjects) return false;
    const keys = keysOf(value);
    if (keys.length === 1 && keys[0][0] === "$") return false;
    for (let place = 0; place < keys.length; place++) {
      if (!simple(value[keys[place]], depth + 1)) return false;
    }
    return true;
  };
  const encoded = (value, depth, room) => {
    switch (typeof value) {
      case "string": room.take(value.length + 2); return stringify(wellFormed(value));
      case "number":
        room.take(8);
        if (value === value && value !== Infinity && value !== -Infinity) return is(value, -0) ? "-0.0" : text(value);
        return '{"$number":"' + text(value) + '"}';
      case "boolean": room.take(5); return value ? "true" : "false";
      case "bigint": {
        const digits = text(value);
        room.take(digits.length + 13);
        return '{"$bigint":"' + digits + '"}';
      }
      case "object": room.take(2); return value === null ? "null" : composed(value, depth, room);
      default: room.take(4); return "null"; // undefined, a function, a symbol: as in JSON
    }
  };
  const composed = (value, depth, room) => {
    if (depth >= DEEPEST) throw new Refused("it contains itself, or is nested more than " + DEEPEST + " deep");
    const kind = getPrototypeOf(value);
    return (kind !== ofObjects && kind !== null ? special(value, depth, room) : undefined) ?? plain(value, depth, room);
  };
  const special = (value, depth, room) => {
    if (isArray(value)) {
      let out = "[";
      const length = value.length;
      for (let place = 0; place < length; place++) {
        if (place) { out += ","; room.take(1); }
        out += encoded(value[place], depth + 1, room);
      }
      return out + "]";
    }
    if (isView(value) || tagged(() => bufferLength(value))) return bytes(value, room);
    if (isDate(value)) {
      room.take(40);
      const moment = time(value);
      return '{"$date":' + (moment === moment ? '"' + isoText(value) + '"' : "null") + "}";
    }
    if (tagged(() => mapSize(value))) {
      let out = "";
      eachOfMap(value, (item, key) => {
        room.take(3);
        out += (out && ",") + "[" + encoded(key, depth + 2, room) + ","
          + encoded(item, depth + 2, room) + "]";
      });
      return '{"$map":[' + out + "]}";
    }
    if (tagged(() => setSize(value))) {
      let out = "";
      eachOfSet(value, (item) => {
        room.take(1);
        out += (out && ",") + encoded(item, depth + 1, room);
      });
      return '{"$set":[' + out + "]}";
    }
    return undefined;
  };
  const bytes = (value, room) => {
    const view = isView(value) ? new Bytes(value.buffer, value.byteOffset, value.byteLength) : new Bytes(value);
    room.take(bytesLength(view) * 1.34 + 16);
    return '{"$bytes":"' + toBase64(view) + '"}';
  };
  const plain = (value, depth, room) => {
    const convert = value.toJSON;
    if (typeof convert === "function") return encoded(apply(convert, value, [""]), depth + 1, room);
    if (typeof value === "function") return "null";
    const keys = keysOf(value);
    let out = "", count = 0, only = "";
    for (let place = 0; place < keys.length; place++) {
      const key = keys[place];
      const item = value[key];
      if (item === undefined || typeof item === "function" || typeof item === "symbol") continue;
      room.take(key.length + 4);
      out += (count++ ? "," : "") + stringify(wellFormed(key)) + ":"
        + encoded(item, depth + 1, room);
      only = key;
    }
    return count === 1 && only[0] === "$" ? '{"$object":{' + out + "}}" : "{" + out + "}";
  };
  const decoded = (value) => {
    if (typeof value !== "object" || value === null) return value;
    if (isArray(value)) {
      for (let place = 0; place < value.length; place++) value[place] = decoded(value[place]);
      return value;
    }
    const keys = ownKeys(value);
    const inner = keys.length === 1 ? value[keys[0]] : undefined;
    switch (keys.length === 1 && keys[0]) {
      case "$date": return new DateOf(inner);
      case "$map": { const map = new MapOf(); for (const [key, item] of inner) mapSet(map, decoded(key), decoded(item)); return map; }
      case "$set": { const set = new SetOf(); for (const item of inner) setAdd(set, decoded(item)); return set; }
      case "$bytes": return fromBase64(inner);
      case "$bigint": return big(inner);
      case "$number": return number(inner);
      case "$object": return entries(inner);
      default: return entries(value);
    }
  };
  const entries = (value) => {
    for (const key of ownKeys(value)) {
      defineProperty(value, key, { value: decoded(value[key]), writable: true, enumerable: true, configurable: true });
    }
    return value;
  };

  // -- the job --------------------------------------------------------------------------------------------------------
  let answer, outputLimit = 0, shift = [0, 0];

  const written = (rest) => "{" + rest + ',"logs":[' + logs + '],"cut":' + cut + "}";
  const succeeded = (value) => {
    try {
      answer = written('"output":' + sent(value, outputLimit));
    } catch (fault) {
      answer = fault instanceof Refused ? refused(fault.message) : failed(fault);
    }
  };
  const refused = (message) => written('"error":{"type":"OutputError","message":' + stringify("the result cannot be sent: " + message) + "}");
  const failed = (fault) => {
    let type = "Error", message = "", place = "";
    try {
      if (typeof fault === "object" && fault !== null) {
        type = slice(text(fault.name ?? "Error"), 0, 100);
        message = slice(text(fault.message ?? ""), 0, LONGEST_MESSAGE);
        place = located(slice(text(fault.stack ?? ""), 0, 20000));
      } else {
        type = "Thrown";
        message = slice(text(fault), 0, LONGEST_MESSAGE);
      }
    } catch {
      message = message || "it threw something that cannot be shown";
    }
    answer = written('"error":{"type":' + stringify(wellFormed(type)) + ',"message":' + stringify(wellFormed(message)) + place + "}");
    return answer;
  };
  const located = (stack) => {
    const match = found(PLACE, stack);
    if (!match) return "";
    const line = number(match[1]) - shift[0];
    const column = number(match[2]) - (line === 1 ? shift[1] : 0);
    return line > 0 && column > 0 ? ',"line":' + line + ',"column":' + column : "";
  };
  const compiles = (source) => { try { new compiled(source); return true; } catch { return false; } };

  // A source may be an expression, a script whose last expression is the result, or the body of an async function.
  const run = (source, input) => {
    const name = "\n//# sourceURL=" + FILE;
    if (matches(/^\s*(\{|(async\s+)?function\b)/, source) && compiles("return (" + source + "\n)")) {
      shift = [0, 1];
      return evaluate("(" + source + "\n)" + name);
    }
    try {
      return evaluate(source + name);
    } catch (fault) {
      if (!(fault instanceof WrongSyntax) || includes(text(fault.stack), FILE + ":")) throw fault;
      let body;
      try {
        body = new AsyncFunction("input", source + name);
      } catch {
        throw new Uncompiled(fault);
      }
      shift = [2, 0];
      return body(input);
    }
  };
  class Uncompiled { constructor(fault) { this.fault = fault; } }

  const begin = (job) => {
    const { code, input, output, seed, tagged: holdsTags } = parse(job);
    logLimit = outputLimit = output;
    reseed(seed[0], seed[1], seed[2]);
    try {
      const given = holdsTags ? decoded(input) : input;
      globalThis.input = given;
      let value = run(code, given);
      if (value === undefined && typeof globalThis.main === "function") value = globalThis.main;
      if (typeof value === "function") value = value(given);
      if ((typeof value === "object" && value !== null) || typeof value === "function") {
        (async () => { try { succeeded(await value); } catch (fault) { failed(fault); } })();
      } else {
        succeeded(value);
      }
    } catch (fault) {
      if (!(fault instanceof Uncompiled)) return failed(fault);
      return '{"uncompiled":' + stringify(wellFormed(slice(text(fault.fault.message), 0, LONGEST_MESSAGE))) + "}";
    }
    return answer;
  };

  // Called with the job, then with "" until there is an answer; with "end" for what was logged before the end came.
  return (word) => {
    if (word === "end") return written('"error":null');
    if (word !== "") return begin(word);
    return answer ?? written('"error":{"type":"Unsettled","message":"its promise never settles: nothing is left to run"}');
  };
})()
