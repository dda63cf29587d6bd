// The catalogue on the phone: `_("key", n=3)` in a template.

/**
 * @param {Record<string, Record<string, string>>} messages texts by key by language
 * @returns {(variables: { language: string }, key: string, named?: Record<string, any>) => string}
 * @throws {RangeError} for a key or a value that is missing: a test would have seen it
 */
export function createTranslate(messages) {
  return ({ language }, key, named = {}) => {
    const text = messages[language]?.[String(key)];
    if (text === undefined) throw new RangeError(`no message ${key} in ${language}`);
    return text.replace(/\{([a-z_]+)\}/g, (_whole, name) => {
      if (!Object.hasOwn(named, name)) throw new RangeError(`message ${key} needs ${name}`);
      return String(named[name]);
    });
  };
}

/**
 * Texts by key by language, from what the server wrote: keys by their first parts, and texts in the order of the keys.
 * @param {Record<string, any>} wire
 * @returns {Record<string, Record<string, string>>}
 */
export function readMessages({ keys, ...texts }) {
  const names = Object.entries(keys).flatMap(([first, lasts]) => lasts.split(" ").map((last) => `${first}.${last}`));
  const byKey = (list) => Object.fromEntries(names.map((name, place) => [name, list[place]]));
  return Object.fromEntries(Object.entries(texts).map(([language, list]) => [language, byKey(list)]));
}
