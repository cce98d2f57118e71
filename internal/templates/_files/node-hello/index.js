// handler greets whom the event names; what its promise gives goes back as JSON.
exports.handler = async (event, context) => {
  const name = event.name || 'world';
  context.getLogger().info(`greeting ${name}`);
  const greeting = context.getUserData('GREETING') || 'Hello';
  return { message: `${greeting}, ${name}!` };
};
