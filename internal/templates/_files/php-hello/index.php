<?php
// handler greets whom the event names. JSON objects come as stdClass; what is returned goes back as JSON.
function handler($event, $context)
{
    $name = $event->name ?? 'world';
    $context->getLogger()->info("greeting $name");
    $greeting = $context->getUserData('GREETING') ?? 'Hello';
    return ['message' => "$greeting, $name!"];
}
