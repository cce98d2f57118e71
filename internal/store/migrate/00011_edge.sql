-- Gateways, what is bound to them, and what they say.

-- +goose Up

-- The last number given to things of a kind.
create table edge_numbers (
    kind text primary key,
    last bigint not null
);

-- Serial numbers are unique on the server: a device names no project.
create table edge_products (
    sn           text primary key,
    project      text not null,
    number       bigint not null,
    name         text not null,
    description  text not null,
    secret       bytea not null,
    dynamic      integer not null,
    pre_register integer not null,
    created_us   bigint not null
);

create index edge_products_listed on edge_products (project, number);

create table edge_gateways (
    product      text not null,
    sn           text not null,
    project      text not null,
    number       bigint not null,
    description  text not null,
    secret       bytea not null,
    disabled     integer not null,
    created_us   bigint not null,
    activated_us bigint not null,
    online       integer not null,
    connected_us bigint not null,
    left_us      bigint not null,
    version      bigint not null,
    hash         text not null,
    issued_us    bigint not null,
    report       text not null,
    reported_us  bigint not null,
    up_stream    text not null,
    up_seq       bigint not null,
    cmd_seq      bigint not null,
    primary key (product, sn)
);

create index edge_gateways_listed on edge_gateways (project, number);

-- Of a gateway, or with gateway '' of all of a product.
create table edge_bindings (
    project  text not null,
    package  text not null,
    name     text not null,
    product  text not null,
    gateway  text not null,
    bound_us bigint not null,
    primary key (project, package, name, product, gateway)
);

create index edge_bindings_placed on edge_bindings (product, gateway);

create table edge_settings (
    project     text not null,
    package     text not null,
    name        text not null,
    product     text not null,
    gateway     text not null,
    cron        text not null,
    cron_enable integer not null,
    config      text not null,
    primary key (project, package, name, product, gateway)
);

create table edge_routes (
    id         bigint primary key,
    project    text not null,
    product    text not null,
    gateway    text not null,
    created_us bigint not null,
    doc        text not null
);

create index edge_routes_placed on edge_routes (product, gateway);

create table edge_deployments (
    id         bigint primary key,
    project    text not null,
    product    text not null,
    gateway    text not null,
    version    bigint not null,
    created_us bigint not null
);

-- Commands are open while ended_us is 0.
create table edge_commands (
    product    text not null,
    gateway    text not null,
    seq        bigint not null,
    id         text not null unique,
    kind       text not null,
    body       text not null,
    created_us bigint not null,
    expires_us bigint not null,
    ended_us   bigint not null,
    ok         integer not null,
    result     text not null,
    code       text not null,
    message    text not null,
    primary key (product, gateway, seq)
);

create index edge_commands_open on edge_commands (expires_us) where ended_us = 0;

create table edge_messages (
    product     text not null,
    gateway     text not null,
    number      bigint not null,
    seq         bigint not null,
    route       bigint not null,
    topic       text not null,
    payload     bytea not null,
    at_us       bigint not null,
    primary key (product, gateway, number)
);

create table edge_packages (
    digest text primary key,
    sha256 text not null,
    md5    text not null
);

-- +goose Down
drop table edge_packages;
drop table edge_messages;
drop table edge_commands;
drop table edge_deployments;
drop table edge_routes;
drop table edge_settings;
drop table edge_bindings;
drop table edge_gateways;
drop table edge_products;
drop table edge_numbers;
