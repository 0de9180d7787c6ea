"""One spelling for numbers, units, currencies, dates and times, however they are written.

"3.10" is not "3.1", because the same digits may be a version; only money loses the zeros of its
cents, and "1.500" never does, which in some countries is fifteen hundred.
"""

import re
from decimal import Decimal

_THOUSANDS_COMMA = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_CENTS = re.compile(r"([-+−]?\d+)(?:\.00|(\.\d)0)")
_THOUSANDS_POINT = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?")

CURRENCY_SIGNS = {"$": "dollar", "€": "euro", "£": "pound sterling", "¥": "yen", "₹": "rupee"}
CURRENCIES = {
    "dollar": "dollar", "dollars": "dollar", "bucks": "dollar", "dólar": "dollar",
    "dólares": "dollar", "dolares": "dollar", "usd": "usd", "euro": "euro", "euros": "euro",
    "eur": "euro", "gbp": "pound sterling", "yen": "yen", "yenes": "yen", "peso": "peso",
    "pesos": "peso", "rupee": "rupee", "rupees": "rupee", "cents": "cent", "cent": "cent",
    "céntimos": "cent", "centavos": "cent", "quid": "pound sterling",
}  # fmt: skip
_UNIT_ALIASES = (
    "kg kgs kilo kilos kilogram kilograms kilogramo kilogramos|g gr gram grams gramo gramos"
    "|km kms kilometer kilometers kilometre kilometres kilómetro kilómetros|cm centimeter"
    " centimeters centimetre centimetres centímetro centímetros|mm millimeters millimetres"
    " milímetros|meter meters metre metres metro metros|l liter liters litre litres litro litros"
    "|ml milliliters millilitres mililitros|hour hours h hr hrs hora horas|minute minutes min mins"
    " minuto minutos|second seconds sec secs segundos|ms milliseconds milisegundos|day days día"
    " días dias|week weeks semana semanas|month months mes meses|year years yr yrs año años"
    "|kb kilobytes|mb megabytes|gb gigabytes|tb terabytes|hz hertz|khz kilohertz|mhz megahertz"
    "|ghz gigahertz|lb lbs|oz ounce ounces onza onzas|mile miles milla millas|inch inches pulgada"
    " pulgadas|foot feet pie pies|w watt watts|kw kilowatt kilowatts|mw|mva|kbps|mbps|gbps|mph"
    "|m|s|v volts|k|c|f|x|bn"
)
UNITS = {
    alias: aliases.split()[0] for aliases in _UNIT_ALIASES.split("|") for alias in aliases.split()
}
ORDINAL_ENDINGS = frozenset({"st", "nd", "rd", "th", "º", "ª", "er", "ro", "do", "to", "vo", "mo"})
MORNING = frozenset({"am", "a.m.", "a.m"})
AFTERNOON = frozenset({"pm", "p.m.", "p.m"})


def number_key(written: str, language: str | None) -> str:
    """`written` with its thousands separators removed where the language leaves no doubt.

    Decimals keep their digits and leading zeros stay.
    """
    sign = "-" if written[0] in "-−" else ""
    digits = written.lstrip("+-−")
    if _THOUSANDS_COMMA.fullmatch(digits) and (
        language == "en" or digits.count(",") > 1 or "." in digits
    ):
        return sign + digits.replace(",", "")
    if _THOUSANDS_POINT.fullmatch(digits) and (
        language == "es" or digits.count(".") > 1 or "," in digits
    ):
        return sign + digits.replace(".", "").replace(",", ".")
    if language == "es" and digits.count(",") == 1 and "." not in digits:
        return sign + digits.replace(",", ".")
    return sign + digits


def money_key(key: str) -> str:
    """The key of a number that counts money: "20.00" is "20" there, and "20.50" is "20.5"."""
    match = _CENTS.fullmatch(key)
    return key if match is None else match[1] + (match[2] or "")


_SAME_QUANTITY = {
    "minute": ("minute", 1), "hour": ("minute", 60), "day": ("minute", 1440),
    "week": ("minute", 10080), "month": ("month", 1), "year": ("month", 12), "g": ("g", 1),
    "kg": ("g", 1000), "meter": ("meter", 1), "km": ("meter", 1000), "ml": ("ml", 1),
    "l": ("ml", 1000), "w": ("w", 1), "kw": ("w", 1000),
}  # fmt: skip
"""The smallest unit that each is a whole number of, and that number."""


def quantity(number: str, unit: str) -> tuple[str, Decimal] | None:
    """A number of a unit in the smallest one that it is a whole number of; None where none is
    known. A month is no number of days."""
    smaller, factor = _SAME_QUANTITY.get(unit, ("", 0))
    if not factor or not number.replace(".", "", 1).isdecimal():
        return None
    return smaller, Decimal(number) * factor


def time_key(written: str, half: str | None) -> str:
    """Minutes since midnight, when `written` ("3", "3:00", "15:00:10") and `half` tell; `half` is
    "am", "pm" or None. Twelve-hour times without a half stay apart from both."""
    parts = [int(part) for part in written.split(":")]
    hour, rest = parts[0], parts[1:]
    minute = rest[0] if rest else 0
    seconds = f":{rest[1]}" if len(rest) > 1 else ""
    if half is not None and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif 1 <= hour <= 12 and not written.startswith("0"):
        return f"time?{hour * 60 + minute}{seconds}"
    return f"time{hour * 60 + minute}{seconds}"


def date_key(written: str, language: str | None) -> str:
    """A date as year-month-day; where the order of day and month is open, as written.

    Spanish puts the day first; English does both, so there only a number above 12 tells.
    """
    parts = re.split("[-/]", written)
    if len(parts[0]) == 4:
        return date_of(int(parts[2]), int(parts[1]), int(parts[0]))
    if language == "es" and len(parts[2]) == 4:
        return date_of(int(parts[0]), int(parts[1]), int(parts[2]))
    if len(parts[2]) == 4 and max(int(parts[0]), int(parts[1])) <= 31:
        if int(parts[0]) > 12 or parts[0].lstrip("0") == parts[1].lstrip("0"):
            return date_of(int(parts[0]), int(parts[1]), int(parts[2]))
        if int(parts[1]) > 12:
            return date_of(int(parts[1]), int(parts[0]), int(parts[2]))
    return "date:" + "/".join(part.lstrip("0") for part in parts)


def date_of(day: int, month: int, year: int | None) -> str:
    """The key of a date whose parts are known; `year` None: not said."""
    return f"date:{year or ''}-{month}-{day}"
