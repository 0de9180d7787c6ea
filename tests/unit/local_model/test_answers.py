"""What the local model answers, task by task, and what it refuses."""

import json
from pathlib import Path

import pytest

from eventstream.llm.local import LocalModel, LocalModelCannot, LocalRequest
from eventstream.llm.local.measure import MEASURES, Measure, main, score

LATE = "My parcel arrived two days late and the box was crushed. The courier was rude."
TARDE = "El paquete llegó tarde y la caja estaba rota. El repartidor fue grosero."

FLOORS = {
    "sentiment": 0.90,
    "sentiment, elsewhere": 0.33,
    "intent of 3": 0.94,
    "topic of 4": 0.95,
    "question answering": 0.75,
    "summarization": 0.75,
}


def response(model: LocalModel, task_type: str, text: str, *labels: str) -> str:
    return model.answer(LocalRequest(task_type, text, labels)).response


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_the_held_out_half_stays_above_its_floor(
    model: LocalModel, texts: Path, measure: Measure, language: str
) -> None:
    assert score(model, texts, measure, language, "held_out_").share >= FLOORS[measure.name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The soup was good.", "positive"),
        ("The soup was not good.", "negative"),
        ("No complaints, nothing broke.", "positive"),
        ("La sopa no es buena.", "negative"),
        ("Está riquísima la sopa.", "positive"),
        ("¿Cuánto cuesta la sopa?", "neutral"),
        ("", "neutral"),
    ],
)
def test_sentiment_is_one_word(model: LocalModel, text: str, expected: str) -> None:
    assert response(model, "sentiment_analysis", text) == expected


def test_a_classification_is_exactly_the_streams_label(model: LocalModel) -> None:
    assert response(model, "classification", LATE, "Billing", "Shipping") == "Shipping"
    assert response(model, "classification", TARDE, "facturación", "envíos") == "envíos"
    assert response(model, "a task of our own", LATE, "billing", "shipping") == "shipping"


def test_without_labels_it_chooses_among_its_own(model: LocalModel) -> None:
    assert response(model, "classification", "Please add a dark mode.") == "suggestion"
    assert response(model, "classification", "The parcel arrives on Monday.") == "other"


def test_a_question_is_answered_by_a_sentence_of_the_text(model: LocalModel) -> None:
    asked = "Context: Ann has a cat. Bob has a dog.\nQuestion: Who has a dog?\nAnswer:"

    assert response(model, "question_answering", asked) == "Bob has a dog."
    assert "does not contain" in response(
        model, "question_answering", "What is the capital of France?"
    )


def test_the_general_analysis_speaks_the_texts_language(model: LocalModel) -> None:
    assert response(model, "general_analysis", LATE).startswith("Language: English\nSentiment: neg")
    assert response(model, "general_analysis", TARDE).startswith(
        "Idioma: español\nSentimiento: neg"
    )


def test_the_same_request_gives_the_same_answer_and_counts(model: LocalModel) -> None:
    request = LocalRequest("summarization", LATE)

    first = model.answer(request)

    assert first == model.answer(request)
    assert first.prompt_tokens == model.count_tokens(LATE) > first.completion_tokens > 0


def test_a_schema_is_filled_and_what_nothing_fits_is_left_out(model: LocalModel) -> None:
    schema = {
        "type": "object",
        "properties": {
            "sentiment": {"enum": ["positive", "negative"]},
            "category": {"type": "string", "enum": ["billing", "shipping"]},
            "is_complaint": {"type": "boolean"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
            "language": {"type": "string"},
            "nickname": {"type": "string"},
        },
        "required": ["sentiment"],
    }

    answer = model.answer(LocalRequest("general_analysis", LATE, output_schema=schema))

    assert json.loads(answer.response) == {
        "sentiment": "negative",
        "category": "shipping",
        "is_complaint": True,
        "rating": 1,
        "language": "en",
    }


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"customer": {"type": "string"}}, "required": ["customer"]}, "customer"),
        ({"$ref": "http://127.0.0.1:1/x"}, "does not follow the reference"),
        ({"type": "strange"}, "not valid"),
        ({"type": "object", "required": ["a"]}, "'a' is a required property"),
    ],
)
def test_what_it_cannot_fill_it_refuses_in_words(
    model: LocalModel, schema: dict[str, object], said: str
) -> None:
    with pytest.raises(LocalModelCannot, match=said):
        model.answer(LocalRequest("general_analysis", LATE, output_schema=schema))


def test_measuring_an_absent_folder_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
