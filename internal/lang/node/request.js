// BaaS.request: a request to a server outside, in the manner of axios, whose wrapper it is elsewhere (minapp reference 4). What a
// function reaches is for its egress to say.
'use strict';

const MOST_REDIRECTS = 5;
const MOST_BYTES = 50 << 20; // of an answer
const MOST_OPEN = 50; // requests at a time; the others wait
const AWAY = ['ENETUNREACH', 'EHOSTUNREACH', 'EAI_AGAIN', 'ENOTFOUND', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENETDOWN', 'EADDRNOTAVAIL'];

module.exports = (HError) => {
  let open = 0;
  const waiting = [];

  function enter() {
    if (open < MOST_OPEN) {
      open++;
      return Promise.resolve();
    }
    return new Promise((resolve) => waiting.push(resolve));
  }

  function leave() {
    const next = waiting.shift();
    if (next) next(); else open--;
  }

  // once makes one exchange: { res, body }.
  function once(url, options, body) {
    return new Promise((resolve, reject) => {
      const req = require(url.protocol === 'https:' ? 'https' : 'http').request(url, options, (res) => {
        const parts = [];
        let size = 0;
        res.on('data', (part) => {
          parts.push(part);
          size += part.length;
          if (size > MOST_BYTES) res.destroy(new HError(613, `the answer is over ${MOST_BYTES} bytes`));
        });
        res.on('error', reject);
        res.on('end', () => resolve({ res, body: Buffer.concat(parts) }));
      });
      req.on('error', reject);
      if (options.timeout) req.setTimeout(options.timeout, () => req.destroy(new HError(601, `no answer within ${options.timeout} ms`)));
      req.end(body);
    });
  }

  function address(text, params) {
    let url;
    try {
      url = new URL(text);
    } catch (error) {
      throw new HError(605, `BaaS.request: ${text} is not a URL`);
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new HError(605, `BaaS.request: ${url.protocol} is not http: or https:`);
    for (const key of Object.keys(params || {})) {
      for (const value of [].concat(params[key])) url.searchParams.append(key, typeof value === 'object' ? JSON.stringify(value) : value);
    }
    return url;
  }

  // write gives the body of a request, and says in headers what it is.
  function write(data, headers) {
    if (data === undefined || data === null) return undefined;
    const named = Object.keys(headers).find((name) => name.toLowerCase() === 'content-type');
    const plain = typeof data === 'string' || Buffer.isBuffer(data);
    const form = data instanceof URLSearchParams || (named && /x-www-form-urlencoded/.test(headers[named]) && !plain);
    const body = Buffer.from(plain ? data : form ? String(new URLSearchParams(data)) : JSON.stringify(data));
    if (!named) headers['Content-Type'] = form || typeof data === 'string' ? 'application/x-www-form-urlencoded' : 'application/json';
    headers['Content-Length'] = body.length;
    return body;
  }

  function read(body, type) {
    if (type === 'arraybuffer') return body;
    const text = body.toString();
    if (type === 'text') return text;
    try {
      return JSON.parse(text);
    } catch (error) {
      return text;
    }
  }

  async function exchange(config) {
    let url = address(config.url, config.params);
    const headers = { Accept: 'application/json, text/plain, */*', ...(config.headers || config.header) };
    let body = write(config.data, headers);
    let method = String(config.method || 'GET').toUpperCase();
    for (let hops = 0; ; hops++) {
      const answer = await once(url, { method, headers, timeout: config.timeout, agent: false }, body);
      const { statusCode: status, statusMessage: statusText, headers: told } = answer.res;
      if ([301, 302, 303, 307, 308].includes(status) && told.location) {
        if (hops === MOST_REDIRECTS) throw new HError(status, `more than ${MOST_REDIRECTS} redirects`);
        const next = address(new URL(told.location, url).href);
        if (status === 303 || (status < 303 && method === 'POST')) {
          method = 'GET';
          body = undefined;
          for (const name of Object.keys(headers)) if (/^content-/i.test(name)) delete headers[name];
        }
        if (next.host !== url.host) for (const name of Object.keys(headers)) if (/^(authorization|cookie)$/i.test(name)) delete headers[name];
        url = next;
        continue;
      }
      const data = read(answer.body, config.responseType || config.dataType);
      if (status < 200 || status > 299) throw Object.assign(new HError(status, statusText), { response: { status, statusText, headers: told, data } });
      return { status, statusText, statusCode: status, headers: told, data };
    }
  }

  async function request(first, second) {
    const config = typeof first === 'string' ? { ...second, url: first } : { ...first };
    await enter();
    try {
      return await exchange(config);
    } catch (error) {
      if (!AWAY.includes(error.code)) throw error;
      throw new HError(600, `${config.url} cannot be reached (${error.code}); a function reaches what its egress allows`);
    } finally {
      leave();
    }
  }
  for (const method of ['get', 'delete', 'head', 'options']) request[method] = (url, config) => request({ ...config, url, method });
  for (const method of ['post', 'put', 'patch']) request[method] = (url, data, config) => request({ ...config, url, method, data });
  return request;
};
