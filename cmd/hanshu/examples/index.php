<?php
// An example function. `hanshu deploy` sends it to the server, `hanshu invoke` calls it.

// handler greets whom the event names. $event is the JSON that the caller sent, its objects as stdClass; what is returned goes
// back as JSON.
function handler($event, $context)
{
    $name = $event->name ?? 'world';
    $context->getLogger()->info("greeting $name"); // shows in `hanshu logs`
    $greeting = $context->getUserData('GREETING') ?? 'Hello'; // set in hanshu.json
    return ['message' => "$greeting, $name!", 'request_id' => $context->getRequestID()];
}
