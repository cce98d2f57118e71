// An example function. `hanshu deploy` sends it to the server, `hanshu invoke` calls it.

// handler greets whom the event names. event is the JSON that the caller sent; what is returned goes back as JSON.
exports.handler = async (event, context) => {
  const name = event.name || 'world';
  context.getLogger().info(`greeting ${name}`); // shows in `hanshu logs`
  const greeting = context.getUserData('GREETING') || 'Hello'; // set in hanshu.json
  return { message: `${greeting}, ${name}!`, request_id: context.getRequestID() };
};
