"""Made-up wording: what people add, published prompts of frameworks and tools, what campaigns ask for."""

from __future__ import annotations

FOLLOW = (
    "continue", "can you make it shorter", "thanks! now in bullet points", "why?", "give me an example",
    "that does not work, I get an error", "translate this to Spanish", "more formal please",
    "ok and how much would that cost", "explain the second point", "hmm are you sure",
    "rewrite it without the last sentence", "what about the other one?", "make a table", "add comments",
    "and in German?", "can you check it again", "perfect, one more like this", "fix the typo",
    "no, I meant the first option", "what is the source", "summarise in one line", "how do I test this",
    "use a friendlier tone", "now for my boss", "I forgot: it must be under 100 words",
)  # fmt: skip
BEFORE = (
    "", "", "", "", "", "Hi, ", "hello! ", "please: ", "Quick question. ", "I need help with this: ", "hey ",
    "For my work: ", "ok so ", "can u help? ", "Question: ",
)  # fmt: skip
AFTER = (
    "", "", "", "", "", " Thanks!", " Keep it short.", " please explain for a beginner", " (I use Windows)",
    " I am in {country}.", " Answer in English.", " it is for my {work}", " asap pls", " No jargon.",
    " around {words} words",
)  # fmt: skip
WORK = (
    "thesis", "boss", "blog", "daughter", "client", "newsletter", "shop", "team", "landlord", "interview", "podcast",
    "book club", "garden", "startup", "church", "exam",
)  # fmt: skip
FRAMEWORKS = {
    "tools": "Answer the question below as well as you can. These tools are there:\n\nSearch: for current events\n"
    "Calculator: for arithmetic\n\nKeep to this form:\n\nQuestion: what you are asked\nThought: what to do next\n"
    "Action: one of [Search, Calculator]\nAction Input: what you give it\nObservation: what it returns\n"
    "... (as often as needed)\nThought: I now know the final answer\nFinal Answer: the answer\n\n"
    "Question: {question}\nThought:",
    "passages": "Use these passages to answer the question at the end. If you do not know, say so; make nothing up."
    "\n\n{context}\n\nQuestion: {question}\nHelpful answer:",
    "context": "Context is below.\n-----\n{context}\n-----\nWith this context and no prior knowledge, answer the query."
    "\nQuery: {question}\nAnswer: ",
    "conversation": "This is a friendly talk between a human and an AI. The AI is talkative and gives many details "
    "from its context. If it does not know, it says so.\n\nTalk so far:\n\nHuman: {question}\nAI:",
    "title": "### Task:\nWrite a title of 3 to 5 words with an emoji for the chat below.\n### Rules:\n- In the chat's "
    'main language.\n### Output:\n{{ "title": "your title" }}\n### Chat:\nUSER: {question}',
}
AGENT = (
    "You are a command-line tool that helps people with software engineering.\n\n# Tone\nBe short and to the point. "
    "Add no comments unless asked.\n\n# Tasks\n- Understand the code and the request with the search tools.\n"
    "- Make the change with every tool you have.\n- Check it with tests; never assume a test framework.\n"
    "- Run the linter and the type checker at the end.\n\n# Tools\nSearch files with few words."
)
THINKING = (
    "In EVERY exchange with the human you must think at length, naturally and unfiltered, before you answer. Write the "
    "thinking as a code block with the header `thinking`, raw and as a stream of thought. Then give the final answer."
)
AGENT_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": told,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for name, told in (
        ("read_file", "Read a file"),
        ("edit_file", "Edit a file"),
        ("bash", "Run a shell command"),
        ("grep", "Search files"),
    )
]

OPENINGS = (
    "You are an expert {role}.", "Act as a senior {role}.", "As an experienced {role}, help with the task below.",
    "Imagine that you are a world-class {role}.", "Your role: {role}.",
)  # fmt: skip
MIDDLES = (
    "Provide complete and transparent reasoning before the final answer.",
    "Think through the problem step by step and write every step down.",
    "Work it out in detail, and show all intermediate reasoning.",
    "Lay out your whole chain of thought, then conclude.",
    "First reason at length, without skipping anything; afterwards give the answer.",
    "Show the full derivation, including checks you make on the way.",
)
ENDINGS = (
    "Finish with the answer on its own line.", "End with 'Answer:' and the result.",
    "The last line must hold only the result.", "Close with a short final answer.",
    "Put the result at the very end.",
)  # fmt: skip
TEMPLATES = {
    "tags": "You are a careful problem solver. Before answering, write your complete internal reasoning between "
    "<reasoning> and </reasoning>. The reasoning must be exhaustive, in first person, and must not be summarised. "
    "After that write the final answer between <answer> and </answer>.",
    "expert": "You are an expert data analyst combining statistical rigor with deep domain knowledge. Your goal is to "
    "deliver data-driven insights, not summaries or visualizations, grounded in real data and supported by complete "
    "and transparent reasoning.",
    "reconstruct": "Below is a problem and its finished answer. Imagine how an expert arrived at this answer and write "
    "out the full line of thought that leads from the problem to it.",
    "plain": "Respond to the instruction with the best possible, complete and self-contained answer. No preamble, no "
    "questions back.",
    "agent": "You are an autonomous software engineer in a sandbox. Solve the task end to end. At each turn write "
    "<plan>, then call one tool. Do not stop before the tests pass. Keep all of your reasoning in <plan>.",
}
