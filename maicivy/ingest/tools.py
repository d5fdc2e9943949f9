"""Which User-Agents are HTTP libraries and command-line clients.

They fetch pages nobody looks at, so their pageviews are not counted; but an event they post was
meant to be posted, and is.
"""

from __future__ import annotations

import re

# A client whose User-Agent begins with one of these names is that tool and nothing else.
_NAMES = """
ab ahc aiohttp akka-http alamofire anyevent-http apache-httpasyncclient apache-httpclient
apachebench aria2 artillery attohttpc autocannon axios bombardier boost.beast bruno bruno-runtime
bun cfnetwork clj-http cpp-httplib cpprestsdk curl customasynchttpclient dalvik dart deno dio
dotnet drill elixir excon faraday fasthttp feign fetch finch flurl gatling go-http-client go-resty
got guzzle guzzlehttp h2load hackney hey hoppscotch http-client http-kit http-tiny http.jl http.rb
http_get httparty httpclient httpcore httpie httpurlconnection httpx httr httr2 hyper insomnia
isahc jakarta java java-http-client jersey jetty jmeter julia k6 ktor ktor-client ky lftp libcurl
libfetch libsoup libwww-perl locust lua lua-http lua-resty-http lwp lwp-request lwp-trivial
lwp::simple mechanize microsoft.powershell mint mojolicious needle niquests node node-fetch
node-superagent node.js oha okhttp okhttp3 paw pecl::http pekko-http perl php php-curl-class poco
postman postmanruntime powershell pycurl python python-httpx python-requests python-urllib
python-urllib2 python-urllib3 r rapidapi reactornetty req requests reqwest rest-client restsharp
resty rewrk ruby rust siege spring sttp superagent surf swagger swagger-codegen swift symfony tesla
thunder treq tsung tungstenite typhoeus undici unirest-java unirest-python ureq urllib urllib3
vegeta vert.x-webclient websocat websocket++ wget wget2 windowspowershell winhttp wininet wrk wrk2
www-mechanize xh xmlhttprequest
"""
_BEGINNING = re.compile(rf"(?:{'|'.join(map(re.escape, _NAMES.split()))})(?=[/ (;:,]|$)")

# A library says so anywhere, too: behind an application's name, or in a browser's borrowed clothes.
_LIBRARIES = """
aiohttp anyevent-http apache-httpasyncclient apache-httpclient axios cfnetwork curl
customasynchttpclient dalvik go-http-client guzzlehttp httpurlconnection httpx jetty libcurl
libwww-perl mechanize node-fetch okhttp powershell python-httpx python-requests python-urllib
reqwest undici wget windowspowershell winhttp winhttprequest
"""
_ANYWHERE = re.compile(
    rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, _LIBRARIES.split()))}|indy library)(?=[/.); ]|$)"
)


def begins_as_tool(user_agent: str) -> bool:
    """Whether the lower-case User-Agent begins with a tool's name."""
    return _BEGINNING.match(user_agent) is not None


def names_library(user_agent: str) -> bool:
    """Whether the lower-case User-Agent names an HTTP library anywhere."""
    return _ANYWHERE.search(user_agent) is not None
