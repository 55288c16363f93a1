"""Attacks in JavaScript: name and code. One that gets what it wants returns or logs "ESCAPED"."""

from __future__ import annotations

from typing import Final

_REACH: Final = {
    "process": "process",
    "require": "require('fs')",
    "module": "module.constructor",
    "global-of-node": "global",
    "window": "window.document",
    "self": "self",
    "fetch": "fetch('http://127.0.0.1')",
    "xml-http-request": "new XMLHttpRequest()",
    "web-socket": "new WebSocket('ws://127.0.0.1')",
    "worker": "new Worker('x.js')",
    "import-scripts": "importScripts('file:///etc/passwd')",
    "timer": "setTimeout(() => {}, 1)",
    "immediate": "setImmediate(() => {})",
    "microtask-queue": "queueMicrotask(() => {})",
    "deno": "Deno.readTextFileSync('/etc/passwd')",
    "bun": "Bun.file('/etc/passwd')",
    "shell-read": "read('/etc/passwd')",
    "shell-load": "load('/etc/passwd')",
    "shell-os": "os.system('id')",
    "shell-quit": "quit()",
    "shell-realm": "Realm.createAllowCrossRealm()",
    "shadow-realm": "new ShadowRealm()",
    "debug-natives": "eval('%DebugPrint(1)')",
    "wasm": "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))",
    "wasm-memory": "new WebAssembly.Memory({initial: 1})",
    "shared-memory": "new SharedArrayBuffer(8)",
    "atomics-wait": "Atomics.wait(new Int32Array(8), 0, 0, 1000)",
    "weak-ref": "new WeakRef({})",
    "finalization": "new FinalizationRegistry(() => {})",
    "structured-clone": "structuredClone({})",
    "text-decoder": "new TextDecoder()",
    "crypto": "crypto.getRandomValues(new Uint8Array(1))",
    "performance": "performance.now()",
    "pyodide": "globalThis.py._module",
    "mini-racer": "mr_eval",
}
"""What must not be there at all."""

_CLEVER: Final = {
    "dynamic-import": "await import('fs'); return 'ESCAPED'",
    "dynamic-import-file": "await import('file:///etc/passwd'); return 'ESCAPED'",
    "dynamic-import-data": "await import('data:text/javascript,export default 1'); return 'ESCAPED'",
    "constructor-of-function": "typeof (() => {}).constructor('return this')().process !== 'undefined' ? 'ESCAPED' : 'held'",
    "constructor-of-async": "const F = (async () => {}).constructor; return await F('return typeof process')() !== 'undefined' ? 'ESCAPED' : 'held'",
    "constructor-of-generator": "const F = (function* () {}).constructor; F('yield typeof process')().next().value !== 'undefined' ? 'ESCAPED' : 'held'",
    "constructor-of-console": "console.log.constructor('return typeof process')() !== 'undefined' ? 'ESCAPED' : 'held'",
    "caller": "function f() { return f.caller } f() ? 'ESCAPED' : 'held'",
    "callee-of-callee": "(function () { return arguments.callee.caller })() ? 'ESCAPED' : 'held'",
    "stack-functions": (
        "Error.prepareStackTrace = (e, frames) => frames; const frames = new Error().stack;"
        "frames.some((f) => f.getFunction() !== undefined && !/job/.test(f.getFileName() ?? 'job')"
        " || (f.getThis() !== undefined && f.getThis() !== globalThis)) ? 'ESCAPED' : 'held'"
    ),
    "stack-while-encoding": (
        "Error.prepareStackTrace = (e, frames) => frames.some((f) => f.getFunction() && f.getScriptNameOrSourceURL() !== 'job.js')"
        " ? 'ESCAPED' : 'held'; ({ get x() { return new Error().stack } })"
    ),
    "this-of-getter": "({ get x() { return this === globalThis ? 'ESCAPED' : 'held' } })",
    "proxy-result": "new Proxy({}, { ownKeys() { return ['a'] }, get() { return 'held' }, getOwnPropertyDescriptor() { return {enumerable: true, configurable: true} } })",
    "proxy-endless-keys": "new Proxy({}, { ownKeys() { for (;;); } })",
    "getter-throws": "({ get x() { throw new Error('held') } })",
    "getter-loops": "({ get x() { for (;;); } })",
    "to-json-loops": "({ toJSON() { for (;;); } })",
    "to-json-self": "const o = { toJSON() { return o } }; o",
    "thenable-loops": "({ then(done) { for (;;); } })",
    "thenable-itself": "const t = { then(done) { done(t) } }; t",
    "thenable-lies": "({ then(done) { done('held'); done('again') } })",
    "error-getters": "throw { get name() { throw 1 }, get message() { throw 2 }, get stack() { throw 3 } }",
    "error-stack-lies": "const e = new Error('x'); e.stack = 'at job.js:99999999999999999999:1'; throw e",
    "error-stack-huge": "const e = new Error('x'); e.stack = 'job.js:1:1'.repeat(1e6); throw e",
    "throw-null": "throw null",
    "throw-symbol": "throw Symbol('x')",
    "throw-proxy": "throw new Proxy(function () {}, { get() { throw 1 } })",
    "poison-array": "Object.defineProperty(Array.prototype, 0, { set() { throw 1 }, get() { return 'ESCAPED' } }); [,].length",
    "poison-object": "Object.defineProperty(Object.prototype, 'output', { value: 'ESCAPED' }); ({})",
    "poison-then": "Promise.prototype.then = () => 'ESCAPED'; return 'held'",
    "poison-json": "JSON.stringify = () => 'ESCAPED'; JSON.parse = () => 'ESCAPED'; 'held'",
    "poison-reflect": "Reflect.ownKeys = () => ['ESCAPED']; Object.keys = () => ['ESCAPED']; ({a: 'held'})",
    "poison-string": "String.prototype.toWellFormed = () => 'ESCAPED'; String.prototype.slice = () => 'ESCAPED'; 'held'",
    "poison-symbol": "Array.prototype[Symbol.iterator] = function* () { yield 'ESCAPED' }; [1, 2]",
    "poison-call": "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => 'ESCAPED'; [1]",
    "poison-map": "Map.prototype.forEach = () => 'ESCAPED'; new Map([[1, 2]])",
    "poison-regexp": "RegExp.prototype.exec = () => ['ESCAPED', '1', '1']; throw new Error('held')",
    "poison-math": "Object.defineProperty(globalThis, 'Math', { value: 'ESCAPED' }); 'held'",
    "freeze-all": "for (const n of Object.getOwnPropertyNames(globalThis)) try { Object.freeze(globalThis[n].prototype); Object.freeze(globalThis[n]) } catch {} 'held'",
    "delete-all": "for (const n of Object.getOwnPropertyNames(globalThis)) delete globalThis[n]; 'held'",
    "forged-answer": '\'{"output":"forged"}\'',
    "forged-frame": "'\\0\\0\\0\\x02\\0\\0\\0\\0{}'",
    "forged-uncompiled": "const e = new SyntaxError('x'); e.stack = ''; throw e",
    "comment-breaks-out": "1 /*",
    "brace-breaks-out": "1}); ({",
    "template-breaks-out": "`",
    "line-separator": "'\\u2028\\u2029'",
    "source-url": "1 //# sourceURL=/etc/passwd",
    "source-map": "1 //# sourceMappingURL=file:///etc/passwd",
    "html-comment": "<!-- ESCAPED",
    "hashbang": "#!/bin/sh",
    "recursion": "(function f() { f() })()",
    "recursion-in-json": "let s = '['.repeat(1e5); JSON.parse(s)",
    "recursion-in-regexp": "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
    "recursion-in-source": "eval('['.repeat(5e4) + ']'.repeat(5e4))",
    "deep-result": "let d = []; for (let i = 0; i < 1e5; i++) d = [d]; d",
    "wide-result": "new Array(1e6).fill(1)",
    "huge-text": "'x'.repeat(2 ** 29 - 25)",
    "huge-sparse": "const a = []; a[2 ** 32 - 2] = 1; a",
    "huge-keys": "const o = {}; for (let i = 0; i < 1e5; i++) o['k' + i] = i; o",
    "escapes-grow": "'\\u0001'.repeat(250000)",
    "log-flood": "for (;;) console.log('x'.repeat(1000))",
    "log-huge": "console.log('x'.repeat(2 ** 29 - 25)); 'held'",
    "log-hostile": "console.log({ toString() { throw 1 }, toJSON() { throw 2 } }, Symbol('x'), () => {}, new Proxy({}, { get() { throw 3 } })); 'held'",
    "log-control": "console.log('\\x1b[2J\\u202e\\0'); 'held'",
    "loop": "for (;;);",
    "microtasks": "(async () => { for (;;) await 0 })()",
    "microtasks-after": "const f = () => Promise.resolve().then(f); f(); 'held'",
    "regexp-backtracks": "/^(a+)+$/.test('a'.repeat(60) + 'b')",
    "sort-loops": "[2, 1].sort(() => { for (;;); })",
    "bigint-grows": "let n = 3n; for (;;) n *= n",
    "heap-objects": "const a = []; for (;;) a.push({})",
    "heap-strings": "const a = []; for (let i = 0; ; i++) a.push(('x' + i).repeat(1000))",
    "heap-closures": "let f = () => 1; for (;;) { const g = f; f = () => g }",
    "heap-map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, [i])",
    "heap-array": "new Array(1e9).fill(0)",
    "buffers-many": "const b = []; for (;;) b.push(new Uint8Array(1e6).fill(1))",
    "buffers-one": "new Uint8Array(2 ** 31).fill(1)",
    "buffers-resizable": "const b = new ArrayBuffer(1, { maxByteLength: 2 ** 31 }); b.resize(2 ** 30); new Uint8Array(b).fill(1)",
    "buffers-hidden": "new DataView(new ArrayBuffer(4e8)).byteLength",
    "symbols": "for (let i = 0; ; i++) Symbol.for('s' + i)",
    "intl-many": "const k = []; for (;;) k.push(new Intl.NumberFormat('de'))",
    "generators-many": "const k = []; function* g() { yield 1 } for (;;) { const i = g(); i.next(); k.push(i) }",
    "compiles-much": "for (let i = 0; ; i++) eval('function f' + i + '() {}')",
    "chance-repeats": "globalThis.__seed = Math.random(); Math.random.toString().includes('ESCAPED') ? 'ESCAPED' : 'held'",
    "clock-fine": "let d = new Set(); for (let i = 0; i < 1e4; i++) d.add(Date.now() % 1); d.size > 1 ? 'ESCAPED' : 'held'",
    "leave-behind": "globalThis.left = 'x'; Object.prototype.left = 'x'; Array.prototype.push = null; 'held'",
    "see-behind": "typeof left !== 'undefined' || ({}).left || typeof Array.prototype.push !== 'function' ? 'ESCAPED' : 'held'",
}

PROBES: Final = {
    **{f"reach-{name}": f"{code}; 'ESCAPED'" for name, code in _REACH.items()},
    **_CLEVER,
}

CANARY: Final = """
const seen = new Set(), lines = [];
const look = (value, path) => {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
  seen.add(value);
  for (const key of Reflect.ownKeys(value)) {
    const d = Object.getOwnPropertyDescriptor(value, key), where = path + '.' + String(key);
    if (where.startsWith('.RegExp.') || where === '.input') continue;
    const shown = typeof d.value === 'object' || typeof d.value === 'function' ? typeof d.value : String(d.value);
    lines.push(where + ':' + shown + [d.writable, d.enumerable, d.configurable, !!d.get, !!d.set]);
    look(d.value, where); look(d.get, where + '<get'); look(d.set, where + '<set');
  }
  lines.push(path + Object.isExtensible(value)); look(Object.getPrototypeOf(value), path + '^');
};
look(globalThis, '');
let sum = 0;
for (const line of lines) for (let i = 0; i < line.length; i++) sum = (Math.imul(sum, 31) + line.charCodeAt(i)) | 0;
[lines.length, sum]
"""
"""A job that returns what all of its realm comes to."""
