"""The one-command local stack: Redis, a broker and the services as child processes.

For laptops, demonstrations and tests. It deliberately does nothing that a cluster does
(no scaling, no log files, no TLS) and listens on the loopback interface only.
"""
