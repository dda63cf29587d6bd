// What compiled templates call, so that they render as Jinja2 renders them. None is null, and an
// undefined name is undefined. A value that might come out differently than in Python throws.

/** Text that is HTML already: Python's Markup. */
export class SafeText {
  constructor(text) {
    this.text = text;
  }
  toString() {
    return this.text;
  }
}

/**
 * Join compiled templates with the application's filters, tests and globals, by name.
 * @returns {{ render(name: string, context: object): string }}
 * @throws if a template needs one that is absent; `render` throws for values it cannot render
 */
export function createRenderer({ templates, filters = {}, tests = {}, globals = {} }) {
  const twins = { filters, tests, globals };
  const variables = jinjaVariables(jinjaGlobals, globals);
  const modules = Object.create(null);

  // A context is its variables and the blocks of its templates. What a template sets lies over what it was given.
  function run(name, given, exported) {
    const context = Object.assign(Object.create(given), { [JINJA_BLOCKS]: Object.create(null) });
    return extend(context, name)(context, exported);
  }

  function extend({ [JINJA_BLOCKS]: blocks }, name) {
    const [root, own = {}] = Object.hasOwn(compiled, name) ? compiled[name] : jinjaRefuse(`find template ${name} in`, compiled);
    for (const block in own) blocks[block] = [...(blocks[block] ?? []), own[block]];
    return root;
  }

  function block(context, name, depth = 0) {
    const write = context[JINJA_BLOCKS][name]?.[depth];
    return write ? write(context, depth) : jinjaRefuse(`call block ${name}`, write);
  }

  function include(name, context, stored, exported) {
    return run(name, context ? jinjaVariables(context, stored) : variables, exported);
  }

  /** What a template exports. Without a context it runs once, and is kept: as in Jinja2. */
  function module(name, context, stored) {
    if (!context && modules[name]) return modules[name];
    const exported = new JinjaModule();
    include(name, context, stored, exported);
    return context ? exported : (modules[name] = exported);
  }

  const compiled = templates({ ...jinja, builtin: jinjaFilters, ...twins, extend, block, include, module });
  for (const name in compiled)
    for (const [kind, twin] of compiled[name][2] ?? [])
      if (!Object.hasOwn(twins[kind], twin)) throw new Error(`${name} needs ${twin} in ${kind}`);
  return { render: (name, context) => run(name, jinjaVariables(variables, context)) };
}

const JINJA_MISSING = Symbol();
const JINJA_BLOCKS = Symbol();
const JINJA_ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;" };
const JINJA_DICT_MEMBERS = /^(clear|copy|fromkeys|get|items|keys|pop|popitem|setdefault|update|values|__.*)$/;
// What Python calls white space; JavaScript disagrees.
const JINJA_SPACE = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

class JinjaNamespace {}
class JinjaModule {}

class JinjaMacro {
  constructor(names, body, takesCaller, defaults = 0) {
    const all = names ? names.split(",") : [];
    this.call = (positional, named = {}, caller) => {
      const known = all.slice(positional.length);
      if (positional.length > all.length || (caller && !takesCaller) || !Object.keys(named).every((name) => known.includes(name)))
        throw new TypeError(`macro(${names}) got other arguments`);
      const rest = known.map((name, place) => {
        if (Object.hasOwn(named, name)) return named[name];
        return known.length - place > defaults ? undefined : JINJA_MISSING;
      });
      return new SafeText(body(...positional, ...rest, caller));
    };
  }
}

class JinjaLoop {
  index0 = -1;
  /** @type {any[] | undefined} */
  seen;

  constructor(items) {
    this.items = items;
  }

  *[Symbol.iterator]() {
    const { items } = this;
    const { length } = items;
    for (const [index0, item] of items.entries()) {
      const index = index0 + 1;
      const ends = { first: !index0, last: index === length, previtem: items[index0 - 1], nextitem: items[index] };
      yield Object.assign(this, { index0, index, length, revindex: length - index0, revindex0: length - index, ...ends }) && item;
    }
  }

  cycle(...values) {
    return values[jinja.modulo(this.index0, values.length)];
  }

  changed(...values) {
    const { seen } = this;
    this.seen = values;
    return seen?.length !== values.length || !values.every((value, place) => jinja.equal(value, seen[place]));
  }
}

/** @returns {never} */
function jinjaRefuse(action, value) {
  throw new TypeError(`a template cannot ${action} ${value === null || Array.isArray(value) ? "none or a list" : typeof value}`);
}

const isJinjaContainer = (value) => Array.isArray(value) || jinja.isMapping(value);

/** Layers of variables as one, without those that every object has. */
function jinjaVariables(...layers) {
  const variables = Object.create(null);
  for (const layer of layers) for (const name in layer) if (layer[name] !== JINJA_MISSING) variables[name] = layer[name];
  return variables;
}

/** Python's str(), for what may be printed. */
function jinjaString(value) {
  if (typeof value === "string") return value;
  if (value instanceof SafeText) return value.text;
  if (value === undefined) return "";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return String(Number.isSafeInteger(value) ? value : jinjaRefuse("print", value));
}

const softJinjaString = (value) => (value instanceof SafeText ? value : jinjaString(value));
const jinjaTextLike = (model, text) => (model instanceof SafeText ? new SafeText(text) : text);
const jinjaText = (value) => (jinja.isString(value) ? String(value) : jinjaRefuse("use as text", value));

/** The value as Python compares it. */
function jinjaPlain(value) {
  if (value instanceof SafeText) return value.text;
  return typeof value === "boolean" ? Number(value) : value;
}

function jinjaInteger(value) {
  const number = jinjaPlain(value);
  return Number.isSafeInteger(number) ? number : jinjaRefuse("calculate with", value);
}

/** Quotient and rest, rounded down as in Python. */
function jinjaDivide(left, right) {
  const divisor = jinjaInteger(right);
  const rest = jinjaInteger(jinjaInteger(left) % divisor);
  const quotient = (left - rest) / divisor;
  return rest && rest < 0 !== divisor < 0 ? [quotient - 1, rest + divisor] : [quotient, rest];
}

/** Less than, equal to or more than 0. Python orders text by code points, UTF-16 puts U+E000 last. */
function compareJinja(left, right) {
  const [a, b] = [jinjaPlain(left), jinjaPlain(right)];
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== "string" || typeof b !== "string") jinjaRefuse("order", left);
  let place = 0;
  while (place < a.length && a[place] === b[place]) place += 1;
  const rank = (unit) => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
  return place < a.length && place < b.length ? rank(a.charCodeAt(place)) - rank(b.charCodeAt(place)) : a.length - b.length;
}

function callJinja(callee, positional, context, named) {
  if (callee instanceof JinjaMacro) return callee.call(positional, ...named);
  return typeof callee === "function" ? callee(...context, ...positional, ...named) : jinjaRefuse("call", callee);
}

function jinjaKey(item, path, caseSensitive, fallback = null) {
  const key = jinja.follow(item, path, fallback);
  return jinja.isString(key) && !caseSensitive ? jinjaFilters.lower(key) : key;
}

function sortJinja(items, reverse, keysOf) {
  const keyed = jinja.iterate(items).map((item) => ({ item, keys: keysOf(item) }));
  const compare = (left, right) => {
    const place = left.keys.findIndex((key, index) => !jinja.equal(key, right.keys[index]));
    return place < 0 ? 0 : compareJinja(left.keys[place], right.keys[place]) * (reverse ? -1 : 1);
  };
  return keyed.sort(compare).map(({ item }) => item);
}

function stripJinja(owner, atStart, atEnd) {
  const text = String(owner);
  let [start, end] = [0, text.length];
  while (atStart && start < end && JINJA_SPACE.test(text[start])) start += 1;
  while (atEnd && start < end && JINJA_SPACE.test(text[end - 1])) end -= 1;
  return jinjaTextLike(owner, text.slice(start, end));
}

function jinjaJson(value) {
  if (Array.isArray(value)) return `[${value.map(jinjaJson).join(", ")}]`;
  if (jinja.isMapping(value)) {
    const names = Object.keys(value).sort(compareJinja);
    return `{${names.map((name) => `${jinjaJson(name)}: ${jinjaJson(value[name])}`).join(", ")}}`;
  }
  if (value === undefined) jinjaRefuse("write as JSON", value);
  if (!jinja.isString(value)) return value === null ? "null" : jinjaString(value).toLowerCase();
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(String(value)).replace(/[<>&'\x7f-\uffff]/g, escape);
}

const jinjaGlobals = {
  dict: (given = {}) => ({ ...(jinja.isMapping(given) ? given : jinjaRefuse("make a dict of", given)) }),
  namespace: (given) => Object.assign(new JinjaNamespace(), jinjaGlobals.dict(given)),
  range(...bounds) {
    const [start, stop, step = 1] = (bounds.length > 1 ? bounds : [0, ...bounds]).map(jinjaInteger);
    if (!step) jinjaRefuse("step by", step);
    return Array.from({ length: Math.max(0, Math.ceil((stop - start) / step)) }, (_, place) => start + place * step);
  },
};

const jinja = {
  missing: JINJA_MISSING,

  // Values

  known: (value) => (value === JINJA_MISSING ? undefined : value),
  safe: (text) => new SafeText(text),

  text(value) {
    if (value instanceof SafeText) return value.text;
    const text = jinjaString(value);
    return /[&<>'"]/.test(text) ? text.replace(/[&<>'"]/g, (found) => JINJA_ESCAPES[found]) : text;
  },

  truthy(value) {
    if (value instanceof SafeText) return value.text !== "";
    return jinja.isMapping(value) ? Object.keys(value).length > 0 : Boolean(Array.isArray(value) ? value.length : value);
  },

  iterate(value) {
    if (Array.isArray(value)) return value;
    if (value === undefined) return [];
    if (jinja.isString(value)) return [...String(value)];
    const keys = jinja.isMapping(value) ? Object.keys(value) : jinjaRefuse("walk over", value);
    // JavaScript has moved these to the front; where Python has them nobody can tell.
    return keys.length > 1 && keys.some((key) => /^\d+$/.test(key)) ? jinjaRefuse("order numbers in", value) : keys;
  },

  /** For `select` and `map`, which find nothing in whatever is false. */
  select: (value) => (jinja.truthy(value) ? jinja.iterate(value) : []),

  unpack(value, length) {
    const items = jinja.iterate(value);
    return items.length === length ? items : jinjaRefuse(`unpack ${length} from`, value);
  },

  isString: (value) => typeof value === "string" || value instanceof SafeText,
  isNumber: (value) => typeof value === "number" || typeof value === "boolean",
  isIterable: (value) => value === undefined || isJinjaContainer(value) || jinja.isString(value),
  isMapping(value) {
    if (value === null || typeof value !== "object") return false;
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  },

  // Looking into values

  attribute(owner, name, ...names) {
    if (names.length) return jinja.attribute(jinja.attribute(owner, name), ...names);
    if (owner === undefined || typeof owner === "function" || owner instanceof JinjaMacro) jinjaRefuse(`look up ${name} in`, owner);
    const isOwn = owner !== null && typeof owner === "object" && Object.hasOwn(owner, name);
    return isOwn && !(owner instanceof SafeText) && !(Array.isArray(owner) && name === "length") ? owner[name] : undefined;
  },

  /** As `attribute`, for names that Python's strings, lists or numbers have. */
  entry(owner, name) {
    const isPlain = jinja.isString(owner) || jinja.isNumber(owner) || (Array.isArray(owner) && !Object.hasOwn(owner, name));
    return isPlain ? jinjaRefuse(`look up ${name} in`, owner) : jinja.attribute(owner, name);
  },

  item(owner, key) {
    const place = jinjaPlain(key);
    if (typeof place === "string") {
      const found = jinja.entry(owner, place);
      return found === undefined && JINJA_DICT_MEMBERS.test(place) ? jinjaRefuse("look up a method of", owner) : found;
    }
    if (owner === undefined) jinjaRefuse("look into", owner);
    if (Number.isInteger(place) && Array.isArray(owner)) return owner.at(place);
    const found = Number.isInteger(place) && jinja.isString(owner) ? [...String(owner)].at(place) : undefined;
    return found && jinjaTextLike(owner, found);
  },

  follow(item, path, fallback) {
    for (const part of path ?? []) {
      item = jinja.item(item, part);
      if (item === undefined && fallback !== null) item = fallback;
    }
    return item;
  },

  slice(value, start, stop) {
    if (Array.isArray(value)) return value.slice(start, stop);
    return jinjaTextLike(value, [...jinjaText(value)].slice(start, stop).join(""));
  },

  setAttribute(owner, name, value) {
    if (!(owner instanceof JinjaNamespace)) jinjaRefuse(`set ${name} of`, owner);
    owner[name] = value;
  },

  // Operators

  equal(left, right) {
    const [a, b] = [jinjaPlain(left), jinjaPlain(right)];
    return a !== b && isJinjaContainer(a) && isJinjaContainer(b) ? jinjaRefuse("compare", a) : a === b;
  },

  less: (left, right) => compareJinja(left, right) < 0,

  contains(container, item) {
    if (jinja.isString(container)) return String(container).includes(jinjaText(item));
    if (!jinja.isMapping(container)) return jinja.iterate(container).some((other) => jinja.equal(other, item));
    if (isJinjaContainer(item)) jinjaRefuse("look for", item);
    return jinja.isString(item) && Object.hasOwn(container, String(item));
  },

  add(left, right) {
    if (jinja.isString(left) && jinja.isString(right)) return jinja.concat([left, right]);
    if (Array.isArray(left) && Array.isArray(right)) return [...left, ...right];
    return jinjaInteger(jinjaInteger(left) + jinjaInteger(right));
  },
  subtract: (left, right) => jinjaInteger(jinjaInteger(left) - jinjaInteger(right)),
  multiply: (left, right) => jinjaInteger(jinjaInteger(left) * jinjaInteger(right)),
  divide: (left, right) => jinjaDivide(left, right)[0],
  modulo: (left, right) => jinjaDivide(left, right)[1],

  concat(parts) {
    const isHtml = parts.some((part) => part instanceof SafeText);
    return isHtml ? new SafeText(parts.map(jinja.text).join("")) : parts.map(jinjaString).join("");
  },

  // Calls

  macro: (...parts) => new JinjaMacro(...parts),
  loop: (items) => new JinjaLoop(jinja.iterate(items)),

  /** What a loop writes, as text; what it writes otherwise when there is nothing to walk over. */
  each(items, write, otherwise) {
    const texts = Array.from(items instanceof JinjaLoop ? items : jinja.iterate(items), (item) => write(item, items));
    return otherwise && !texts.length ? otherwise() : texts.join("");
  },

  call: (callee, ...positional) => callJinja(callee, positional, [], []),
  callNamed: (callee, named, ...positional) => callJinja(callee, positional, [], [named]),

  /** For functions that want to see the context. */
  callIn: (context, callee, ...positional) => callJinja(callee, positional, [context], []),
  callInNamed: (context, callee, named, ...positional) => callJinja(callee, positional, [context], [named]),

  callBlock: (callee, caller, named, ...positional) =>
    callee instanceof JinjaMacro ? callee.call(positional, named, caller).text : jinjaRefuse("hand a block to", callee),

  method(owner, name, ...given) {
    const methods = jinja.isString(owner) ? jinjaTextMethods : jinja.isMapping(owner) ? jinjaDictMethods : {};
    return Object.hasOwn(methods, name) ? methods[name](owner, ...given) : jinjaRefuse(`call ${name} of`, owner);
  },

  // Contexts

  imports(context, module, names) {
    for (const name of names.split(",")) context[name] = jinja.attribute(module, name);
  },
  derive: (context, stored) => Object.assign(jinjaVariables(context, stored), { [JINJA_BLOCKS]: context[JINJA_BLOCKS] }),
  overlay: (context, sets) => (jinja.truthy(sets) ? jinjaVariables(context, sets) : context),
};

const jinjaDictMethods = {
  get(owner, key, fallback = null) {
    return jinja.contains(owner, key) ? owner[key] : fallback;
  },
  items: (owner) => jinja.iterate(owner).map((key) => [key, owner[key]]),
  keys: (owner) => jinja.iterate(owner),
  values: (owner) => jinja.iterate(owner).map((key) => owner[key]),
};

const jinjaTextMethods = {
  startswith: (owner, start) => String(owner).startsWith(jinjaText(start)),
  endswith: (owner, end) => String(owner).endsWith(jinjaText(end)),
  strip: (owner) => stripJinja(owner, true, true),
  lstrip: (owner) => stripJinja(owner, true, false),
  rstrip: (owner) => stripJinja(owner, false, true),
  upper: (owner) => jinjaTextLike(owner, String(owner).toUpperCase()),
  lower: (owner) => jinjaTextLike(owner, String(owner).toLowerCase()),

  replace(owner, old, fresh, count = -1) {
    const inserted = owner instanceof SafeText ? jinja.text(fresh) : jinjaText(fresh);
    const parts = String(owner).split(jinjaText(old) || jinjaRefuse("replace", ""));
    const rest = count < 0 ? [] : parts.splice(count + 1);
    return jinjaTextLike(owner, [parts.join(inserted), ...rest].join(old));
  },

  split(owner, separator = null) {
    const text = String(separator === null ? stripJinja(owner, true, true) : owner);
    const parts = separator === null ? text && text.split(JINJA_SPACE) : text.split(jinjaText(separator) || jinjaRefuse("split at", ""));
    return [...parts].map((part) => jinjaTextLike(owner, part));
  },
};

const jinjaFilters = {
  abs: (value) => Math.abs(jinjaInteger(value)),

  batch(value, size, filler) {
    const items = [...jinja.iterate(value)];
    if (jinjaInteger(size) < 1) jinjaRefuse("batch by", size);
    while (filler !== null && items.length % size) items.push(filler);
    return jinjaGlobals.range(0, items.length, size).map((start) => items.slice(start, start + size));
  },

  default: (value, fallback, alsoFalse) => (value === undefined || (alsoFalse && !jinja.truthy(value)) ? fallback : value),
  escape: (value) => new SafeText(jinja.text(value)),
  first: (value) => jinja.iterate(value)[0],

  groupby(value, path, fallback, caseSensitive) {
    const keyOf = (item) => jinjaKey(item, path, caseSensitive, fallback);
    const groups = [];
    for (const item of sortJinja(value, false, (item) => [keyOf(item)])) {
      const group = groups.at(-1);
      if (group && jinja.equal(keyOf(group.list[0]), keyOf(item))) group.list.push(item);
      else {
        const [grouper, list] = [jinja.follow(item, path, fallback), [item]];
        groups.push(Object.assign([grouper, list], { grouper, list }));
      }
    }
    return groups;
  },

  int(value, fallback) {
    if (value === undefined || jinja.isNumber(value)) return jinjaInteger(value);
    const text = jinja.isString(value) ? String(stripJinja(value, true, true)) : "";
    if (/^[+-]?\d+$/.test(text)) return jinjaInteger(Number(text));
    // Python reads 4_2, 4.2, 4e2, and digits of other scripts. Better to stop than to guess.
    return /^[\p{Nd}._e+-]*$/iu.test(text) && /\p{Nd}/u.test(text) ? jinjaRefuse("read a number from", value) : fallback;
  },

  items: (value) => (value === undefined ? [] : jinja.method(value, "items")),

  join(value, separator, path) {
    const items = jinja.iterate(value).map((item) => jinja.follow(item, path, null));
    const isHtml = [separator, ...items].some((part) => part instanceof SafeText);
    const write = isHtml ? jinja.text : jinjaString;
    return isHtml ? new SafeText(items.map(write).join(write(separator))) : items.map(write).join(write(separator));
  },

  last: (value) => (value instanceof SafeText ? jinja.item(value, -1) : jinja.iterate(value).at(-1)),
  length: (value) => (jinja.isMapping(value) ? Object.keys(value) : jinja.iterate(value)).length,
  list: (value) => jinja.iterate(value),
  lower: (value) => jinjaTextMethods.lower(softJinjaString(value)),
  max: (value, caseSensitive, path) => sortJinja(value, true, (item) => [jinjaKey(item, path, caseSensitive)])[0],
  min: (value, caseSensitive, path) => sortJinja(value, false, (item) => [jinjaKey(item, path, caseSensitive)])[0],

  replace(value, old, fresh, count) {
    const becomesHtml = old instanceof SafeText || (fresh instanceof SafeText && !(value instanceof SafeText));
    const text = becomesHtml ? jinjaFilters.escape(value) : softJinjaString(value);
    return jinjaTextMethods.replace(text, softJinjaString(old), softJinjaString(fresh), count === null ? -1 : jinjaInteger(count));
  },

  reverse(value) {
    const items = [...jinja.iterate(value)].reverse();
    return jinja.isString(value) ? jinjaTextLike(value, items.join("")) : items;
  },

  safe: (value) => new SafeText(jinjaString(value)),
  sort: (value, reverse, caseSensitive, paths) =>
    sortJinja(value, reverse, (item) => paths.map((path) => jinjaKey(item, path, caseSensitive))),
  string: softJinjaString,
  sum: (value, path, start) => jinja.iterate(value).reduce((total, item) => jinja.add(total, jinja.follow(item, path, null)), start),
  tojson: (value) => new SafeText(jinjaJson(value)),
  trim: (value) => stripJinja(softJinjaString(value), true, true),

  truncate(value, length, killWords, end, leeway) {
    if (value === undefined) return value;
    const points = [...jinjaText(value)];
    const size = jinja.subtract(length, jinjaFilters.length(end));
    if (size < 0 || jinjaInteger(leeway) < 0) jinjaRefuse("truncate to", length);
    if (points.length <= length + leeway) return value;
    const text = points.slice(0, size).join("");
    const stop = killWords ? -1 : text.lastIndexOf(" ");
    return jinja.add(jinjaTextLike(value, stop < 0 ? text : text.slice(0, stop)), end);
  },

  unique(value, caseSensitive, path) {
    const seen = new Set();
    return jinja.iterate(value).filter((item) => {
      const key = jinjaPlain(jinjaKey(item, path, caseSensitive));
      if (isJinjaContainer(key)) jinjaRefuse("compare", key);
      return !seen.has(key) && seen.add(key);
    });
  },

  upper: (value) => jinjaTextMethods.upper(softJinjaString(value)),

  urlencode(value) {
    if (isJinjaContainer(value)) jinjaRefuse("put into an address", value);
    const quote = (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`;
    return encodeURIComponent(jinjaString(value)).replaceAll("%2F", "/").replace(/[!'()*]/g, quote);
  },
};
