def handler(event, context):
    """Greets whom the event names; what is returned goes back as JSON."""
    name = event.get("name", "world")
    context.getLogger().info(f"greeting {name}")
    greeting = context.getUserData("GREETING") or "Hello"
    return {"message": f"{greeting}, {name}!"}
