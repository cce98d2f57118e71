// handler reckons what a tidying job would delete: the timer says when it is, and its user_event how long to keep things.
exports.handler = async (event, context) => {
  const { keep_days: keep } = JSON.parse(event.user_event || '{"keep_days":30}');
  const before = new Date(new Date(event.time).getTime() - keep * 24 * 3600 * 1000);
  context.getLogger().info(`deleting what is older than ${before.toISOString()}`);
  return { trigger: event.trigger_name, delete_before: before.toISOString() };
};
