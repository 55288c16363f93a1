// What stands in each fresh isolate before a job's code: it takes away what is no pure computation, captures the
// console, runs the job and writes down what came of it. Its last expression is the function that the worker calls;
// `values` is the text of values.js, which is compiled for those few jobs that need it.
//
// The code of the job shares this realm and may poison every built-in. So whatever runs after it uses only what was
// taken here beforehand. A job that gets the better of this code has forged its own answer, and nothing else: the
// isolate holds no way out, and the service checks the answer.
//
// V8 compiles this file anew for each job: what is rare stands in values.js.
((values) => {
  "use strict";
  const { stringify, parse } = JSON;
  const { ownKeys, getPrototypeOf, apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor, is, create, keys: keysOf } = Object;
  const { isFinite: finite } = Number;
  const ofObjects = Object.prototype, ofArrays = Array.prototype;
  const { isArray } = Array;
  const { slice, includes, toWellFormed } = String.prototype;
  const { test, exec } = RegExp.prototype;
  const text = String, number = Number;
  const Fault = Error, WrongSyntax = SyntaxError;
  const evaluate = globalThis.eval;
  const compiled = Function;
  const AsyncFunction = getPrototypeOf(async () => {}).constructor;
  const cutTo = (line, size) => apply(slice, line, [0, size]);
  const wellFormed = (line) => apply(toWellFormed, line, []);

  // What values.js takes of the realm, while it is still as V8 made it.
  const { getTime, toISOString } = Date.prototype;
  const { forEach: eachOfMap, has: mapHas, set: mapSet } = Map.prototype;
  const { forEach: eachOfSet, has: setHas, add: setAdd } = Set.prototype;
  const taken = {
    stringify, ownKeys, getPrototypeOf, apply, defineProperty, is, keysOf, ofObjects, isArray, text, number, wellFormed,
    getTime, toISOString, eachOfMap, mapHas, mapSet, eachOfSet, setHas, setAdd, isView: ArrayBuffer.isView,
    toBase64: Uint8Array.prototype.toBase64, fromBase64: Uint8Array.fromBase64,
    bytesLength: getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), "byteLength").get,
    BigInt, Date, Map, Set, Uint8Array, DataView,
  };
  let late;
  const rare = () => late ??= evaluate(values)(taken, Refused);

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
      line = cutTo(line, logLimit > logSize ? logLimit - logSize : 0);
      cut = true;
      if (!line) return;
    }
    logSize += line.length + 16;
    logs += (logs && ",") + '{"level":"' + level + '","text":' + stringify(wellFormed(line)) + "}";
  };
  const shown = (value) => {
    try {
      if (typeof value === "string") return cutTo(value, logLimit);
      if (typeof value === "function") return "[Function]";
      if (typeof value === "symbol") return text(value);
      if (typeof value === "bigint") return text(value) + "n";
      if (value instanceof Fault) return cutTo(text(value), LONGEST_MESSAGE);
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
  // Most results are plain JSON, which V8's own serialiser writes many times faster than any code in a realm this young.
  class Refused { constructor(message) { this.message = message; } }
  const sent = (value, limit) => {
    if (simple(value, 0)) {
      const json = stringify(value);
      if (json.length > limit) throw new Refused("it is larger than the sandbox lets out");
      if (!apply(includes, json, ["\\ud"])) return json;
    }
    return rare().encoded(value, limit);
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
        type = cutTo(text(fault.name ?? "Error"), 100);
        message = cutTo(text(fault.message ?? ""), LONGEST_MESSAGE);
        place = located(cutTo(text(fault.stack ?? ""), 20000));
      } else {
        type = "Thrown";
        message = cutTo(text(fault), LONGEST_MESSAGE);
      }
    } catch {
      message = message || "it threw something that cannot be shown";
    }
    answer = written('"error":{"type":' + stringify(wellFormed(type)) + ',"message":' + stringify(wellFormed(message)) + place + "}");
    return answer;
  };
  const located = (stack) => {
    const match = apply(exec, PLACE, [stack]);
    if (!match) return "";
    const line = number(match[1]) - shift[0];
    const column = number(match[2]) - (line === 1 ? shift[1] : 0);
    return line > 0 && column > 0 ? ',"line":' + line + ',"column":' + column : "";
  };
  const compiles = (source) => { try { new compiled(source); return true; } catch { return false; } };

  // A source may be an expression, a script whose last expression is the result, or the body of an async function.
  const run = (source, input) => {
    const name = "\n//# sourceURL=" + FILE;
    if (apply(test, /^\s*(\{|(async\s+)?function\b)/, [source]) && compiles("return (" + source + "\n)")) {
      shift = [0, 1];
      return evaluate("(" + source + "\n)" + name);
    }
    try {
      return evaluate(source + name);
    } catch (fault) {
      if (!(fault instanceof WrongSyntax) || apply(includes, text(fault.stack), [FILE + ":"])) throw fault;
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
      const given = holdsTags ? rare().decoded(input) : input;
      globalThis.input = given;
      let value = run(code, given);
      if (value === undefined && typeof globalThis.main === "function") value = globalThis.main;
      if (typeof value === "function") value = value(given);
      if (typeof value?.then === "function") {
        (async () => { try { succeeded(await value); } catch (fault) { failed(fault); } })();
      } else {
        succeeded(value);
      }
    } catch (fault) {
      if (!(fault instanceof Uncompiled)) return failed(fault);
      return '{"uncompiled":' + stringify(wellFormed(cutTo(text(fault.fault.message), LONGEST_MESSAGE))) + "}";
    }
    return answer;
  };

  // Called on the job; where that brings no answer yet, on "" when all promises have run; on "end" for what was logged
  // before the end came.
  return function () {
    const word = this;
    if (word === "end") return written('"error":null');
    if (word !== "") return begin(word);
    return answer ?? written('"error":{"type":"Unsettled","message":"its promise never settles: nothing is left to run"}');
  };
})
