// The catalogue on the phone: `_("key", n=3)` in a template.

/**
 * @param {{ languages: string[], texts: Record<string, string[]> }} messages each text in the order of the languages
 * @returns {(variables: { language: string }, key: string, named?: Record<string, any>) => string}
 * @throws {RangeError} for a key or a value that is missing: a test would have seen it
 */
export function createTranslate(messages) {
  return ({ language }, key, named = {}) => {
    const text = messages.texts[String(key)]?.[messages.languages.indexOf(language)];
    if (text === undefined) throw new RangeError(`no message ${key} in ${language}`);
    return text.replace(/\{([a-z_]+)\}/g, (_whole, name) => {
      if (!Object.hasOwn(named, name)) throw new RangeError(`message ${key} needs ${name}`);
      return String(named[name]);
    });
  };
}
