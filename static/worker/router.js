// Finding a page by its path: the twin of server/router.py, pinned to it by sync/vectors/router.json.

/**
 * @typedef {object} Page an entry of the page table (server/page_table.py); what says nothing is left out
 * @property {string} name
 * @property {string} path such as "/visits/{visit_id}"
 * @property {string} template
 * @property {Load[]} loads
 * @property {Write} [write]
 * @property {boolean} [asks]
 *
 * @typedef {object} Load
 * @property {string} name
 * @property {string} kind
 * @property {string} [id]
 * @property {boolean} [may_be_gone]
 * @property {string} [by]
 * @property {string} [key]
 * @property {string} [group]
 * @property {boolean} [by_id]
 * @property {string} [order]
 * @property {number} [limit]
 * @property {boolean} [standing]
 * @property {string} [match]
 *
 * @typedef {object} Write
 * @property {string} kind
 * @property {"put" | "void" | "later"} action
 * @property {string} form
 * @property {string} record
 * @property {string} each
 * @property {Record<string, string>} set
 * @property {string} next
 * @property {{ field: string, values: string[], next: string }} [urgent]
 */

/**
 * The first page whose path fits, segment by segment. A `{name}` takes one segment that is not empty, percent-decoded.
 * @param {Page[]} pages
 * @param {string} path as it stands in the URL
 * @returns {{ page: Page, params: Record<string, string> } | null}
 */
export function matchPage(pages, path) {
  for (const page of pages) {
    const params = matchPath(page.path, path);
    if (params) return { page, params };
  }
  return null;
}

/** @returns {Record<string, string> | null} */
function matchPath(pattern, path) {
  const names = pattern.split("/");
  const segments = path.split("/");
  if (names.length !== segments.length) return null;
  const params = {};
  for (const [place, name] of names.entries()) {
    const segment = segments[place];
    if (!name.startsWith("{")) {
      if (name !== segment) return null;
      continue;
    }
    const text = decodeSegment(segment);
    if (text === "" || text.includes("/")) return null;
    params[name.slice(1, -1)] = text;
  }
  return params;
}

/** "" for what is no UTF-8. */
function decodeSegment(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}

/**
 * A path pattern with its parameters filled in.
 * @param {string} pattern
 * @param {Record<string, string>} params
 */
export function fillPath(pattern, params) {
  return pattern.replace(/\{(\w+)\}/g, (_whole, name) => encodeURIComponent(params[name] ?? ""));
}
